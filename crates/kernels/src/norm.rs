//! Layer norm and softmax over rows.

use crate::act::exp;
use crate::rows::fill;
use crate::vector::{Vector, dispatch};

/// `(x − mean) / √(variance + ε) · weight + bias` over rows as long as the weight (Ba et al. 2016, equation 4), of
/// `x + residual` where there is one.
///
/// # Panics
/// If the slices do not fit each other.
pub fn layer_norm(x: &[f32], residual: Option<&[f32]>, weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let width = weight.len();
    assert!(width > 0 && bias.len() == width && x.len().is_multiple_of(width), "rows are not as long as the weight");
    assert!(residual.is_none_or(|residual| residual.len() == x.len()), "the residual is not the input's size");
    fill(x.len() / width, width, |row, out| {
        let row = row * width..(row + 1) * width;
        out.copy_from_slice(&x[row.clone()]);
        if let Some(residual) = residual {
            out.iter_mut().zip(&residual[row]).for_each(|(x, residual)| *x += residual);
        }
        dispatch!(normalize(out: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32));
    })
}

/// `exp(x − largest) / sum` over rows of `width` numbers.
///
/// # Panics
/// If the input is no whole number of rows.
pub fn softmax(x: &[f32], width: usize) -> Vec<f32> {
    assert!(width > 0 && x.len().is_multiple_of(width), "no whole number of rows");
    fill(x.len() / width, width, |row, out| {
        out.copy_from_slice(&x[row * width..][..width]);
        dispatch!(soften(out: &mut [f32]));
    })
}

/// The sum of something of each number of a row, whole vectors and the rest apart. A macro, since a closure would be
/// compiled for no instruction set.
macro_rules! total {
    ($row:expr, |$value:ident| $whole:expr, |$single:ident| $part:expr) => {{
        let (mut sums, chunks) = ([V::splat(0.0); 2], $row.chunks_exact(V::LANES));
        let rest = chunks.remainder();
        for (index, chunk) in chunks.enumerate() {
            let $value = V::load(chunk.as_ptr());
            sums[index % 2] = sums[index % 2].add($whole);
        }
        let mut sum = sums[0].add(sums[1]).sum();
        for &$single in rest {
            sum += $part;
        }
        sum
    }};
}

/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn normalize<V: Vector>(row: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let width = row.len();
    // SAFETY: the caller's promise; row, weight and bias are as long.
    unsafe {
        let mean = total!(row, |x| x, |x| x) / width as f32;
        let centre = V::splat(mean);
        let variance = total!(
            row,
            |x| {
                let x = x.sub(centre);
                x.mul(x)
            },
            |x| (x - mean) * (x - mean)
        ) / width as f32;
        let scale = 1.0 / (variance + epsilon).sqrt();
        let whole = width - width % V::LANES;
        for at in (0..whole).step_by(V::LANES) {
            let x = V::load(row[at..].as_ptr()).sub(centre).mul(V::splat(scale));
            let y = x.mul_add(V::load(weight[at..].as_ptr()), V::load(bias[at..].as_ptr()));
            y.store(row[at..].as_mut_ptr());
        }
        for at in whole..width {
            row[at] = (row[at] - mean) * scale * weight[at] + bias[at];
        }
    }
}

/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn soften<V: Vector>(row: &mut [f32]) {
    let width = row.len();
    let whole = width - width % V::LANES;
    // SAFETY: the caller's promise; every load and store is inside the row.
    unsafe {
        let mut best = V::splat(f32::NEG_INFINITY);
        for at in (0..whole).step_by(V::LANES) {
            best = best.max_nan(V::load(row[at..].as_ptr()));
        }
        let mut largest = best.largest();
        for &value in &row[whole..] {
            largest = if value > largest || value.is_nan() { value } else { largest };
        }
        let shift = V::splat(largest);
        for at in (0..whole).step_by(V::LANES) {
            exp(V::load(row[at..].as_ptr()).sub(shift)).store(row[at..].as_mut_ptr());
        }
        for value in &mut row[whole..] {
            *value = (*value - largest).exp();
        }
        let sum = total!(row, |x| x, |x| x);
        for at in (0..whole).step_by(V::LANES) {
            V::load(row[at..].as_ptr()).div(V::splat(sum)).store(row[at..].as_mut_ptr());
        }
        for value in &mut row[whole..] {
            *value /= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn layer_norm_is_its_definition(
            (width, rows, residual) in (1usize..70, 1usize..5, any::<bool>()),
            data in prop::collection::vec(-8.0f32..8.0, 70 * 12),
        ) {
            let (x, rest) = data.split_at(rows * width);
            let (weight, rest) = rest.split_at(width);
            let (bias, rest) = rest.split_at(width);
            let residual = residual.then(|| &rest[..rows * width]);
            let got = layer_norm(x, residual, weight, bias, 1e-5);
            for row in 0..rows {
                let x: Vec<f64> = (0..width)
                    .map(|at| f64::from(x[row * width + at]) + residual.map_or(0.0, |r| f64::from(r[row * width + at])))
                    .collect();
                let mean = x.iter().sum::<f64>() / width as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                for at in 0..width {
                    let want = (x[at] - mean) / (variance + 1e-5).sqrt() * f64::from(weight[at]) + f64::from(bias[at]);
                    let got = f64::from(got[row * width + at]);
                    prop_assert!((got - want).abs() < 2e-3 * (1.0 + want.abs()), "{got}, not {want}");
                }
            }
        }

        #[test]
        fn softmax_is_its_definition(width in 1usize..70, data in prop::collection::vec(-80.0f32..80.0, 210)) {
            let data = &data[..3 * width];
            let got = softmax(data, width);
            for (x, got) in data.chunks(width).zip(got.chunks(width)) {
                let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = x.iter().map(|x| f64::from(x - largest).exp()).sum();
                for (x, got) in x.iter().zip(got) {
                    let want = f64::from(x - largest).exp() / sum;
                    prop_assert!((f64::from(*got) - want).abs() < 1e-6, "{got}, not {want}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_spreads_over_its_row_alone() {
        for at in [0, 20, 39] {
            let mut x = vec![1.0f32; 80];
            x[at] = f32::NAN;
            for y in [softmax(&x, 40), layer_norm(&x, None, &[1.0; 40], &[0.0; 40], 1e-5)] {
                assert!(y[..40].iter().all(|y| y.is_nan()) && y[40..].iter().all(|y| y.is_finite()), "{at}");
            }
        }
    }

    #[test]
    fn minus_infinity_has_no_weight() {
        let mut x = [0.0; 40];
        x[3] = f32::NEG_INFINITY;
        let y = softmax(&x, 40);
        assert_eq!(y[3], 0.0);
        assert!((y[4] - 1.0 / 39.0).abs() < 1e-7);
    }
}
