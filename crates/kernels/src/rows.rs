//! Rows of results, made on all threads.

use crate::threads::{share_out, threads};

/// Pieces of work that each thread should get, so that nobody waits long for the last one.
pub(crate) const PIECES: usize = 4;

/// `count` rows of `length` numbers, each written by `make`.
pub(crate) fn fill(count: usize, length: usize, make: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let numel = count * length;
    let mut out: Vec<f32> = Vec::with_capacity(numel);
    let room = Room(out.as_mut_ptr());
    let tasks = count.min(PIECES * threads());
    share_out(tasks, |task| {
        let rows = task * count / tasks..(task + 1) * count / tasks;
        // SAFETY: the rows lie in the room, and no two tasks have one in common.
        let piece = unsafe { room.piece(rows.start * length, rows.len() * length) };
        if length > 0 {
            for (row, out) in rows.zip(piece.chunks_exact_mut(length)) {
                make(row, out);
            }
        }
    });
    // SAFETY: every row was written.
    unsafe { out.set_len(numel) };
    out
}

/// Numbers that tasks write at different places.
#[derive(Clone, Copy)]
pub(crate) struct Room(pub(crate) *mut f32);

// SAFETY: a pointer alone does nothing; whoever writes through it keeps the places of tasks apart.
unsafe impl Sync for Room {}

impl Room {
    /// # Safety
    /// The place lies in the room, and nobody else uses it meanwhile.
    pub(crate) unsafe fn write(&self, at: usize, value: f32) {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(at).write(value) }
    }

    /// # Safety
    /// The piece lies in the room, nobody else has a part of it, and what is read of it was written before.
    // A piece is as mutable as the room, which tasks share without a lock because their pieces differ.
    #[allow(clippy::mut_from_ref)]
    unsafe fn piece(&self, start: usize, length: usize) -> &mut [f32] {
        // SAFETY: the caller's promise; f32 has no invalid bits.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}
