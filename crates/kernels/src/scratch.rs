//! Room for what a kernel needs while it runs, kept by each thread for its next kernel: fresh memory costs a page fault
//! for every 4 KiB.

use std::cell::RefCell;

/// Vectors start at a multiple of this many numbers, one line of the caches.
pub(crate) const LINE: usize = 16;

thread_local! {
    static ROOM: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with room for `count` numbers, of which nothing is known but that they are numbers, at the start of a line.
pub(crate) fn with_room<T>(count: usize, body: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut room = ROOM.take();
    if room.len() < count + LINE {
        room = vec![0.0; count + LINE];
    }
    let start = room.as_ptr().align_offset(4 * LINE).min(LINE);
    let result = body(&mut room[start..start + count]);
    ROOM.set(room);
    result
}
