//! The innermost loop of attention: six rows by some vectors of columns.

pub(super) use crate::vector::ROWS;
use crate::vector::{Vector, add_products};

/// Six rows of numbers by some columns: `out = rows · columns`, or that added to what is there.
pub(super) struct Product {
    pub(super) rows: *const f32,
    /// Numbers from one row to the next.
    pub(super) row: usize,
    pub(super) depth: usize,
    pub(super) columns: *const f32,
    /// Numbers from the columns of one depth to those of the next.
    pub(super) column: usize,
    pub(super) out: *mut f32,
    /// Numbers from one row of the result to the next.
    pub(super) stride: usize,
    /// Whether sums start at 0.
    pub(super) fresh: bool,
}

impl Product {
    /// # Safety
    /// As for [`Vector`]; every pointer is valid for six rows, the depth, and as many vectors of columns.
    #[inline(always)]
    pub(super) unsafe fn run<V: Vector>(&self, vectors: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match vectors {
                1 => self.multiply::<V, 1>(),
                2 => self.multiply::<V, 2>(),
                _ => self.multiply::<V, 4>(),
            }
        }
    }

    /// # Safety
    /// As for [`run`](Product::run).
    #[inline(always)]
    unsafe fn multiply<V: Vector, const N: usize>(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            // Each row's sums have a name of their own, so that they stay in registers.
            let mut a = self.start::<V, N>(0);
            let mut b = self.start::<V, N>(1);
            let mut c = self.start::<V, N>(2);
            let mut d = self.start::<V, N>(3);
            let mut e = self.start::<V, N>(4);
            let mut f = self.start::<V, N>(5);
            for at in 0..self.depth {
                let mut columns = [V::splat(0.0); N];
                for (vector, values) in columns.iter_mut().enumerate() {
                    *values = V::load(self.columns.add(at * self.column + vector * V::LANES));
                }
                let row = self.rows.add(at);
                add_products(&mut a, row, &columns);
                add_products(&mut b, row.add(self.row), &columns);
                add_products(&mut c, row.add(2 * self.row), &columns);
                add_products(&mut d, row.add(3 * self.row), &columns);
                add_products(&mut e, row.add(4 * self.row), &columns);
                add_products(&mut f, row.add(5 * self.row), &columns);
            }
            for (row, sums) in [a, b, c, d, e, f].into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    sum.store(self.out.add(row * self.stride + vector * V::LANES));
                }
            }
        }
    }

    /// What a row's sums start with.
    ///
    /// # Safety
    /// As for [`run`](Product::run).
    #[inline(always)]
    unsafe fn start<V: Vector, const N: usize>(&self, row: usize) -> [V; N] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [V::splat(0.0); N];
            if !self.fresh {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(self.out.add(row * self.stride + vector * V::LANES));
                }
            }
            sums
        }
    }
}
