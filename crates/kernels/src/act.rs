//! Activations on vectors, as the last step of a kernel.

use crate::vector::Vector;

/// An activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Act {
    /// The value itself.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x · sigmoid(x).
    Silu,
    /// x · Φ(x), the exact form with the error function.
    Gelu,
}

impl Act {
    /// # Safety
    /// As for [`Vector`].
    #[inline(always)]
    pub(crate) unsafe fn on<V: Vector>(self, x: V) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Act::None => x,
                Act::Relu => V::splat(0.0).max(x),
                Act::Silu => {
                    let one = V::splat(1.0);
                    x.div(one.add(exp(V::splat(0.0).sub(x))))
                }
                Act::Gelu => {
                    let half = x.mul(V::splat(0.5));
                    half.mul_add(erf(x.mul(V::splat(std::f32::consts::FRAC_1_SQRT_2))), half)
                }
            }
        }
    }

    /// The same on one number, in plain arithmetic: the definition.
    pub fn reference(self, x: f32) -> f32 {
        match self {
            Act::None => x,
            Act::Relu if x < 0.0 => 0.0,
            Act::Relu => x,
            Act::Silu => x / (1.0 + (-x).exp()),
            Act::Gelu => 0.5 * x * (1.0 + erf_reference(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2) as f32),
        }
    }
}

/// eˣ within 2 units in the last place: x = n ln 2 + r, a polynomial for eʳ, and n into the exponent.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
pub(crate) unsafe fn exp<V: Vector>(x: V) -> V {
    // ln 2 in two parts, the first with few digits, so that n · ln 2 is exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // 1/7!, … 1/1!, 1/0!
    const SERIES: [f32; 8] =
        [1.984_127e-4, 1.388_888_9e-3, 8.333_333e-3, 4.166_666_6e-2, 1.666_666_7e-1, 0.5, 1.0, 1.0];
    // SAFETY: the caller's promise.
    unsafe {
        // A NaN stays: `max` and `min` give their second operand then.
        let x = V::splat(-104.0).max(V::splat(89.0).min(x));
        let n = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
        let r = n.mul_add(V::splat(-LN2[1]), n.mul_add(V::splat(-LN2[0]), x));
        let sum = series(r, &SERIES);
        // Two factors, so that 2ⁿ is finite where the product is.
        let first = n.mul(V::splat(0.5)).round();
        sum.mul(first.pow2()).mul(n.sub(first).pow2())
    }
}

/// The error function within 4 units in the last place: the rational function of Eigen and XLA on −4 ..= 4, beyond which it is ±1.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn erf<V: Vector>(x: V) -> V {
    const UP: [f32; 7] = [
        -2.726_142e-10,
        2.770_681_4e-8,
        -2.101_024_1e-6,
        -5.692_506_5e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const DOWN: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329_3e-3, -1.426_473_9e-2];
    // SAFETY: the caller's promise.
    unsafe {
        let x = V::splat(-4.0).max(V::splat(4.0).min(x));
        let square = x.mul(x);
        x.mul(series(square, &UP)).div(series(square, &DOWN))
    }
}

/// A polynomial, its highest power first.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn series<V: Vector, const N: usize>(x: V, terms: &[f32; N]) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = V::splat(terms[0]);
        for term in &terms[1..] {
            sum = sum.mul_add(x, V::splat(*term));
        }
        sum
    }
}

/// The error function by its Taylor series near 0 and its continued fraction elsewhere.
fn erf_reference(x: f64) -> f64 {
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    if x.abs() < 2.5 {
        let (mut term, mut sum) = (2.0 * x, 2.0 * x);
        for n in 1..60 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return sum * scale;
    }
    let fraction = (1..60).rev().fold(0.0, |below, n| f64::from(n) / 2.0 / (x.abs() + below));
    x.signum() * (1.0 - scale / (x.abs() + fraction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::dispatch;

    unsafe fn apply<V: Vector>(act: Act, x: &mut [f32]) {
        for chunk in x.chunks_exact_mut(V::LANES) {
            // SAFETY: the chunk has as many numbers.
            unsafe { act.on(V::load(chunk.as_ptr())).store(chunk.as_mut_ptr()) }
        }
    }

    fn applied(act: Act, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        y.resize(x.len().next_multiple_of(16), 0.0);
        let slice = y.as_mut_slice();
        dispatch!(apply(act: Act, slice: &mut [f32]));
        y.truncate(x.len());
        y
    }

    #[test]
    fn activations_are_their_definitions() {
        let x: Vec<f32> = (-4000..4000).map(|i| i as f32 * 0.005).chain([88.0, -88.0, 200.0, -200.0, 1e-30]).collect();
        for act in [Act::None, Act::Relu, Act::Silu, Act::Gelu] {
            for (x, y) in x.iter().zip(applied(act, &x)) {
                let want = act.reference(*x);
                assert!(
                    (y - want).abs() <= 3e-7 * (x.abs().max(want.abs())).min(4.0).max(want.abs()),
                    "{act:?}({x}) = {y}, not {want}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_number_is_carried() {
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        for act in [Act::None, Act::Relu, Act::Silu, Act::Gelu] {
            for (x, y) in x.iter().zip(applied(act, &x)) {
                let want = act.reference(*x);
                assert!(y == want || y.is_nan() && want.is_nan(), "{act:?}({x}) = {y}, not {want}");
            }
        }
    }

    #[test]
    fn the_error_function_is_that_of_the_tables() {
        // Abramowitz & Stegun, table 7.1.
        for (x, want) in
            [(0.1, 0.112_462_916_0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)]
        {
            assert!((erf_reference(x) - want).abs() < 1e-9, "{x}");
            assert!((erf_reference(-x) + want).abs() < 1e-9, "{x}");
        }
        assert!((erf_reference(3.0) - 0.999_977_909_5).abs() < 1e-9);
        assert!((erf_reference(2.4999) - erf_reference(2.5001)).abs() < 1e-6);
    }
}
