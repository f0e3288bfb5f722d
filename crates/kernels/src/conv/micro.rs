//! The innermost loop: six pixels by a panel of output channels.

use super::Order;
use crate::Act;
use crate::scratch::LINE;
pub(super) use crate::vector::ROWS;
use crate::vector::{Vector, add_products};

/// Six pixels' runs of channels, for one tap of the kernel.
pub(super) type Rows = [*const f32; ROWS];

/// Six pixels of a result whose pixels are `stride` numbers apart.
pub(super) fn spread(first: *mut f32, stride: usize) -> Rows {
    std::array::from_fn(|row| first.wrapping_add(row * stride).cast_const())
}

/// What happens to the sums when the last product is in them.
#[derive(Clone, Copy)]
pub(super) struct Finish {
    /// What is added, if not null; pixels are as far apart as in the result.
    pub(super) residual: *const f32,
    pub(super) act: Act,
    pub(super) order: Order,
}

/// One call of the micro-kernel.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// Runs of channels, one six for each tap.
    pub(super) rows: *const Rows,
    /// The runs of the step after this one, which are asked for meanwhile.
    pub(super) next: *const Rows,
    /// Weights of a later step, of which this one asks for some lines as it goes on.
    pub(super) later: *const f32,
    /// How many for each line of channels.
    pub(super) lines: usize,
    /// Taps.
    pub(super) taps: usize,
    /// Where in the runs to start.
    pub(super) start: usize,
    /// How many channels of each run.
    pub(super) depth: usize,
    /// Taps × depth × panel width.
    pub(super) weights: *const f32,
    /// What each pixel's sums start with: a bias, or what is in the result already.
    pub(super) sums: Rows,
    /// The result's first number.
    pub(super) out: *mut f32,
    /// Numbers from one pixel of the result to the next.
    pub(super) stride: usize,
    /// The last step, if this is it.
    pub(super) finish: Option<Finish>,
}

/// Adds products to six rows of `N` vectors.
///
/// # Safety
/// As for [`Vector`]; every pointer of the step is valid for what the step says.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector, const N: usize>(step: &Step) {
    // SAFETY: the caller's promise; the loops stay inside what the step says.
    unsafe {
        // Each row's sums have a name of their own: indexed rows would be kept in memory instead of registers.
        let mut a = start::<V, N>(step, 0);
        let mut b = start::<V, N>(step, 1);
        let mut c = start::<V, N>(step, 2);
        let mut d = start::<V, N>(step, 3);
        let mut e = start::<V, N>(step, 4);
        let mut f = start::<V, N>(step, 5);
        let (mut weights, mut later) = (step.weights, step.later);
        for tap in 0..step.taps {
            let (rows, next) = (*step.rows.add(tap), *step.next.add(tap));
            let (mut channel, end) = (step.start, step.start + step.depth);
            while channel < end {
                for run in next {
                    V::prefetch(run.wrapping_add(channel));
                }
                for _ in 0..step.lines {
                    V::prefetch_far(later);
                    later = later.wrapping_add(LINE);
                }
                let line = end.min(channel + LINE);
                while channel < line {
                    let mut columns = [V::splat(0.0); N];
                    for (column, values) in columns.iter_mut().enumerate() {
                        *values = V::load(weights.add(column * V::LANES));
                    }
                    weights = weights.add(N * V::LANES);
                    add_products(&mut a, rows[0].add(channel), &columns);
                    add_products(&mut b, rows[1].add(channel), &columns);
                    add_products(&mut c, rows[2].add(channel), &columns);
                    add_products(&mut d, rows[3].add(channel), &columns);
                    add_products(&mut e, rows[4].add(channel), &columns);
                    add_products(&mut f, rows[5].add(channel), &columns);
                    channel += 1;
                }
            }
        }
        for (row, sums) in [a, b, c, d, e, f].into_iter().enumerate() {
            for (column, mut sum) in sums.into_iter().enumerate() {
                if let Some(Finish { residual, act, order }) = step.finish.filter(is_short) {
                    if !residual.is_null() && order == Order::AddFirst {
                        sum = sum.add(V::load(residual.add(row * step.stride + column * V::LANES)));
                    }
                    if act == Act::Relu {
                        sum = Act::Relu.on(sum);
                    }
                    if !residual.is_null() && order == Order::ActFirst {
                        sum = sum.add(V::load(residual.add(row * step.stride + column * V::LANES)));
                    }
                }
                sum.store(step.out.add(row * step.stride + column * V::LANES));
            }
        }
        // Longer ones need registers of their own, and what they read was just written.
        if let Some(Finish { residual, act, order }) = step.finish.filter(|finish| !is_short(finish)) {
            for row in 0..ROWS {
                for column in 0..N {
                    let at = row * step.stride + column * V::LANES;
                    let sum = V::load(step.out.add(at));
                    let value = match order {
                        _ if residual.is_null() => act.on(sum),
                        Order::AddFirst => act.on(sum.add(V::load(residual.add(at)))),
                        Order::ActFirst => act.on(sum).add(V::load(residual.add(at))),
                    };
                    value.store(step.out.add(at));
                }
            }
        }
    }
}

/// Whether a last step is done while the sums are in registers.
fn is_short(finish: &Finish) -> bool {
    matches!(finish.act, Act::None | Act::Relu)
}

/// What a pixel's sums start with.
///
/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn start<V: Vector, const N: usize>(step: &Step, row: usize) -> [V; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [V::splat(0.0); N];
        for (column, sum) in sums.iter_mut().enumerate() {
            *sum = V::load(step.sums[row].add(column * V::LANES));
        }
        sums
    }
}
