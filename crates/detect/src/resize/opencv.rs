//! OpenCV's `cv::resize` of bytes (`modules/imgproc/src/resize.cpp`): two or four pixels along an axis, however much smaller
//! the image gets.

use rayon::prelude::*;

use super::{Plane, RGB};

/// The pixels along one axis that an output pixel is made of. Those beyond the border are the border's.
struct Taps<const N: usize, W> {
    at: [usize; N],
    weights: [W; N],
}

impl<const N: usize, W> Taps<N, W> {
    /// Those of every output pixel along an axis, by a filter.
    fn all(from: usize, to: usize, filter: &impl Filter<N, Weight = W>) -> Vec<Taps<N, W>> {
        let scale = 1.0 / (to as f64 / from as f64);
        let last = from as i64 - 1;
        let taps = |index: usize| {
            let place = filter.place((index as f64 + 0.5) * scale - 0.5);
            let floor = place.floor();
            let first = floor as i64 - (N as i64 / 2 - 1);
            let at = std::array::from_fn(|tap| (first + tap as i64).clamp(0, last) as usize);
            Taps { at, weights: filter.weights(place - floor) }
        };
        (0..to).map(taps).collect()
    }
}

/// A filter over `N` pixels: how it weighs them, and how exact its sums are.
trait Filter<const N: usize>: Sync {
    /// A pixel's weight, and the type that sums along a row are kept in.
    type Weight: Copy + Default + Send + Sync;

    /// Where an output pixel lies among the pixels along an axis, rounded as OpenCV rounds it.
    fn place(&self, place: f64) -> f64;

    /// The weights, by the place between the two middle pixels.
    fn weights(&self, between: f64) -> [Self::Weight; N];

    /// The sum along a row.
    fn across(&self, pixels: [u8; N], weights: [Self::Weight; N]) -> Self::Weight;

    /// The byte from sums of different rows.
    fn down(&self, sums: [Self::Weight; N], weights: [Self::Weight; N]) -> u8;
}

/// `INTER_LINEAR`: weights of 11 bits after the point, and what they are multiplied with cut to 16 bits.
struct Linear;

impl Filter<2> for Linear {
    type Weight = i32;

    fn place(&self, place: f64) -> f64 {
        f64::from(place as f32)
    }

    fn weights(&self, between: f64) -> [i32; 2] {
        let between = between as f32;
        [1.0 - between, between].map(|weight| (weight * 2048.0).round_ties_even() as i32)
    }

    fn across(&self, pixels: [u8; 2], weights: [i32; 2]) -> i32 {
        i32::from(pixels[0]) * weights[0] + i32::from(pixels[1]) * weights[1]
    }

    fn down(&self, sums: [i32; 2], weights: [i32; 2]) -> u8 {
        let part = |tap: usize| (weights[tap] * (sums[tap] >> 4)) >> 16;
        ((part(0) + part(1) + 2) >> 2).clamp(0, 255) as u8
    }
}

/// `INTER_CUBIC` with a = -0.75, in floating point as the IPP library does it, which OpenCV's packages for x86 have built in.
/// Without IPP weights have 11 bits, and some values in a hundred differ by 1.
struct Cubic;

impl Filter<4> for Cubic {
    type Weight = f64;

    fn place(&self, place: f64) -> f64 {
        place
    }

    fn weights(&self, x: f64) -> [f64; 4] {
        const A: f64 = -0.75;
        let far = |x: f64| ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
        let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
        [far(x), near(x), near(1.0 - x), far(1.0 - x)]
    }

    fn across(&self, pixels: [u8; 4], weights: [f64; 4]) -> f64 {
        pixels.iter().zip(weights).map(|(&pixel, weight)| f64::from(pixel) * weight).sum()
    }

    fn down(&self, sums: [f64; 4], weights: [f64; 4]) -> u8 {
        let sum: f64 = sums.iter().zip(weights).map(|(sum, weight)| sum * weight).sum();
        (sum + 0.5).floor() as u8
    }
}

/// `INTER_LINEAR`. What OpenCV does for exactly half of both sides, the mean of four pixels, is the same.
pub(super) fn linear(image: &Plane<'_>, size: [usize; 2]) -> Vec<u8> {
    resize(image, size, &Linear)
}

/// `INTER_CUBIC`.
pub(super) fn cubic(image: &Plane<'_>, size: [usize; 2]) -> Vec<u8> {
    resize(image, size, &Cubic)
}

/// Both passes, rows first.
fn resize<const N: usize>(image: &Plane<'_>, [height, width]: [usize; 2], filter: &impl Filter<N>) -> Vec<u8> {
    let columns = Taps::all(image.width, width, filter);
    let mut sums = vec![Default::default(); image.height * width * RGB];
    sums.par_chunks_exact_mut(width * RGB).enumerate().for_each(|(y, row)| {
        let source = image.row(y);
        for (pixel, taps) in row.chunks_exact_mut(RGB).zip(&columns) {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = filter.across(taps.at.map(|x| source[x * RGB + channel]), taps.weights);
            }
        }
    });
    let rows = Taps::all(image.height, height, filter);
    let mut out = vec![0; height * width * RGB];
    out.par_chunks_exact_mut(width * RGB).zip(&rows).for_each(|(row, taps)| {
        let from = taps.at.map(|y| &sums[y * width * RGB..][..width * RGB]);
        for (x, value) in row.iter_mut().enumerate() {
            *value = filter.down(from.map(|row| row[x]), taps.weights);
        }
    });
    out
}
