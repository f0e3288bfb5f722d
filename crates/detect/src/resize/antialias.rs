//! The resampling that Pillow and PyTorch share: a filter as wide as the pixels of the larger image are, so that a smaller
//! image averages over all it comes from. Both work on bytes in two passes with weights of fixed point; they differ in how
//! many bits a weight has and in the order of the passes (Pillow `src/libImaging/Resample.c`, PyTorch
//! `aten/src/ATen/native/cpu/UpSampleKernel.cpp`).

use rayon::prelude::*;

use super::{Plane, RGB};

/// The shape of the filter, over distances in pixels.
#[derive(Clone, Copy)]
pub(super) enum Filter {
    Triangle,
    /// Keys' cubic with a = -0.5.
    Cubic,
}

/// Whose fixed point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    /// 22 bits after the point.
    Pillow,
    /// As many as the largest weight leaves in 16 bits.
    Torch,
}

impl Filter {
    /// Distance beyond which it is 0.
    fn support(self) -> f64 {
        match self {
            Filter::Triangle => 1.0,
            Filter::Cubic => 2.0,
        }
    }

    fn at(self, distance: f64) -> f64 {
        const A: f64 = -0.5;
        let x = distance.abs();
        match self {
            Filter::Triangle if x < 1.0 => 1.0 - x,
            Filter::Cubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Filter::Cubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// The pixels along one axis that an output pixel is made of.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The weights along one axis.
struct Axis {
    taps: Vec<Taps>,
    /// Bits of a weight after the point.
    bits: u32,
}

impl Axis {
    fn new(from: usize, to: usize, filter: Filter, rounding: Rounding) -> Axis {
        let scale = from as f64 / to as f64;
        let spread = scale.max(1.0);
        let (support, narrow) = (filter.support() * spread, 1.0 / spread);
        let exact: Vec<(usize, Vec<f64>)> = (0..to)
            .map(|index| {
                let center = (index as f64 + 0.5) * scale;
                let first = (center - support + 0.5).max(0.0) as usize;
                let end = ((center + support + 0.5) as usize).min(from);
                let weights: Vec<f64> =
                    (first..end).map(|tap| filter.at((tap as f64 - center + 0.5) * narrow)).collect();
                let sum: f64 = weights.iter().sum();
                (first, weights.into_iter().map(|weight| if sum == 0.0 { weight } else { weight / sum }).collect())
            })
            .collect();
        let bits = match rounding {
            Rounding::Pillow => 22,
            Rounding::Torch => {
                let largest = exact.iter().flat_map(|(_, weights)| weights).fold(0.0, |a: f64, &b| a.max(b));
                let fits = |bits: u32| 0.5 + largest * f64::from(1u32 << (bits + 1)) < f64::from(1 << 15);
                (0..22).find(|&bits| !fits(bits)).unwrap_or(22)
            }
        };
        let one = f64::from(1u32 << bits);
        // Halves away from zero, as both libraries round.
        let fixed = |weight: f64| (weight * one).round() as i32;
        let taps =
            exact.into_iter().map(|(first, weights)| Taps { first, weights: weights.into_iter().map(fixed).collect() });
        Axis { taps: taps.collect(), bits }
    }

    fn half(&self) -> i32 {
        1 << (self.bits - 1)
    }

    fn byte(&self, sum: i32) -> u8 {
        (sum >> self.bits).clamp(0, 255) as u8
    }
}

/// The bytes of the image in `size`, height and width.
pub(super) fn resize(image: &Plane<'_>, size: [usize; 2], filter: Filter, rounding: Rounding) -> Vec<u8> {
    let [height, width] = size;
    let axis = |from, to| Axis::new(from, to, filter, rounding);
    let (columns, rows) = (axis(image.width, width), axis(image.height, height));
    if rounding == Rounding::Pillow && pillow_goes_down_first(image, size) {
        let flat = down(image, &rows);
        return across(&Plane { height, width: image.width, bytes: &flat }, &columns);
    }
    let narrow = across(image, &columns);
    down(&Plane { height: image.height, width, bytes: &narrow }, &rows)
}

/// Since version 13 Pillow makes the pass down the columns first where the height shrinks by more than twice as many pixels
/// as the width does; older ones never do.
fn pillow_goes_down_first(image: &Plane<'_>, [height, width]: [usize; 2]) -> bool {
    image.height > height && image.height + 2 * width > height + 2 * image.width
}

/// The pass along the rows.
fn across(image: &Plane<'_>, axis: &Axis) -> Vec<u8> {
    let width = axis.taps.len();
    let mut out = vec![0; image.height * width * RGB];
    out.par_chunks_exact_mut(width * RGB).enumerate().for_each(|(y, row)| {
        let source = image.row(y);
        for (pixel, taps) in row.chunks_exact_mut(RGB).zip(&axis.taps) {
            let mut sums = [axis.half(); RGB];
            for (color, &weight) in source[taps.first * RGB..].chunks_exact(RGB).zip(&taps.weights) {
                for (sum, &value) in sums.iter_mut().zip(color) {
                    *sum += i32::from(value) * weight;
                }
            }
            pixel.copy_from_slice(&sums.map(|sum| axis.byte(sum)));
        }
    });
    out
}

/// The pass down the columns.
fn down(image: &Plane<'_>, axis: &Axis) -> Vec<u8> {
    let length = image.width * RGB;
    let mut out = vec![0; axis.taps.len() * length];
    out.par_chunks_exact_mut(length).zip(&axis.taps).for_each(|(row, taps)| {
        let mut sums = vec![axis.half(); length];
        for (y, &weight) in (taps.first..).zip(&taps.weights) {
            for (sum, &value) in sums.iter_mut().zip(image.row(y)) {
                *sum += i32::from(value) * weight;
            }
        }
        for (value, sum) in row.iter_mut().zip(sums) {
            *value = axis.byte(sum);
        }
    });
    out
}
