//! What the processor can do at most: fused multiply-adds that wait for nothing.

use std::time::Instant;

use crate::threads::{share_out, threads};
use crate::vector::{Vector, dispatch};

/// Sums that do not wait for each other: more than a processor has under way at once.
const SUMS: usize = 12;
/// Rounds of a burst, tens of milliseconds, beside which a helper that wakes late is nothing.
const ROUNDS: usize = 1 << 23;

/// The most FLOP/s (a multiply-add is 2) that any of five bursts reaches on all threads together.
pub fn peak() -> f64 {
    let burst = || {
        let start = Instant::now();
        share_out(threads(), |_| {
            std::hint::black_box(dispatch!(multiply_adds() -> f64));
        });
        threads() as f64 * dispatch!(flops() -> f64) / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| burst()).fold(0.0, f64::max)
}

/// FLOPs of a burst of one thread.
///
/// # Safety
/// Nothing is asked: it does no arithmetic on vectors.
unsafe fn flops<V: Vector>() -> f64 {
    (2 * V::LANES * SUMS * ROUNDS) as f64
}

/// A burst.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn multiply_adds<V: Vector>() -> f64 {
    // SAFETY: the caller's promise.
    unsafe {
        let (factor, mut sums) = (V::splat(std::hint::black_box(0.5)), [V::splat(1.0); SUMS]);
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, factor);
            }
        }
        let mut total = V::splat(0.0);
        for sum in sums {
            total = total.add(sum);
        }
        f64::from(total.sum())
    }
}
