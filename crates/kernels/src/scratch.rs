//! Memory that starts at a line of the caches, so that no vector lies across two; and room for what a kernel needs while
//! it runs, kept by each thread for its next kernel: fresh memory costs a page fault for every 4 KiB.

use std::cell::RefCell;

/// Numbers of a line.
pub(crate) const LINE: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Numbers from the start of a line on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// As many zeros.
    pub(crate) fn zeros(len: usize) -> Aligned {
        Aligned { lines: vec![Line([0.0; LINE]); len.div_ceil(LINE)], len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a line is sixteen numbers without gaps, and `len` of them are there.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and this borrow is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

thread_local! {
    static ROOM: RefCell<Aligned> = RefCell::default();
}

/// Calls `body` with room for `count` numbers, of which nothing is known but that they are numbers, at the start of a line.
pub(crate) fn with_room<T>(count: usize, body: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut room = ROOM.take();
    if room.len < count {
        room = Aligned::zeros(count);
    }
    let result = body(&mut room[..count]);
    ROOM.set(room);
    result
}
