//! Memory that starts at a line of the caches, so that no vector lies across two; and room for what a kernel needs while
//! it runs, kept by each thread for its next kernel: fresh memory costs a page fault for every 4 KiB.

use std::cell::RefCell;

/// Numbers of a line.
pub(crate) const LINE: usize = 16;

/// Numbers from the start of a line on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aligned {
    numbers: Vec<f32>,
    /// Where the line starts.
    start: usize,
    len: usize,
}

impl Aligned {
    /// As many zeros, which the system gives without writing them.
    pub(crate) fn zeros(len: usize) -> Aligned {
        let numbers = vec![0.0_f32; len + LINE];
        let start = numbers.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Aligned { numbers, start, len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.start..self.start + self.len]
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
