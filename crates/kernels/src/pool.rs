use crate::vector::{Vector, dispatch};
use crate::window::{Rows, Taps};
use crate::{Plane, Window};

/// Maximum over each window, N × H × W × C to N × H′ × W′ × C; padding never wins, a NaN always does. A window wholly in the
/// padding gives −∞.
///
/// # Panics
/// If the slice is not the plane's size or the window does not fit.
pub fn max_pool2d(input: &[f32], plane: Plane, window: Window) -> Vec<f32> {
    Rows::new(input, plane, window).make(|row, out| dispatch!(largest(row: &Taps<'_>, out: &mut [f32])))
}

/// Mean over the part of each window that lies inside the input (PyTorch's `count_include_pad=False`, which is the same
/// as its default where there is no padding).
///
/// # Panics
/// If the slice is not the plane's size or the window does not fit.
pub fn avg_pool2d(input: &[f32], plane: Plane, window: Window) -> Vec<f32> {
    Rows::new(input, plane, window).make(|row, out| dispatch!(mean(row: &Taps<'_>, out: &mut [f32])))
}

/// One row of maxima.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn largest<V: Vector>(row: &Taps<'_>, out: &mut [f32]) {
    let channels = row.channels();
    for (column, out) in out.chunks_exact_mut(channels).enumerate() {
        let mut channel = 0;
        while channel + V::LANES <= channels {
            // SAFETY: pixels and the result have `channels` numbers.
            unsafe {
                let mut best = V::splat(f32::NEG_INFINITY);
                for (_, pixel) in row.at(column) {
                    best = best.max_nan(V::load(pixel[channel..].as_ptr()));
                }
                best.store(out[channel..].as_mut_ptr());
            }
            channel += V::LANES;
        }
        for channel in channel..channels {
            out[channel] = row.at(column).fold(f32::NEG_INFINITY, |best, (_, pixel)| {
                let value = pixel[channel];
                if value > best || value.is_nan() { value } else { best }
            });
        }
    }
}

/// One row of means.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn mean<V: Vector>(row: &Taps<'_>, out: &mut [f32]) {
    let channels = row.channels();
    for (column, out) in out.chunks_exact_mut(channels).enumerate() {
        let count = row.at(column).count().max(1) as f32;
        let mut channel = 0;
        while channel + V::LANES <= channels {
            // SAFETY: pixels and the result have `channels` numbers.
            unsafe {
                let mut sum = V::splat(0.0);
                for (_, pixel) in row.at(column) {
                    sum = sum.add(V::load(pixel[channel..].as_ptr()));
                }
                sum.div(V::splat(count)).store(out[channel..].as_mut_ptr());
            }
            channel += V::LANES;
        }
        for channel in channel..channels {
            out[channel] = row.at(column).map(|(_, pixel)| pixel[channel]).sum::<f32>() / count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine pixels, the same in each of some channels.
    fn image(channels: usize) -> (Vec<f32>, Plane) {
        let data = (0..9).flat_map(|pixel| std::iter::repeat_n(pixel as f32 - 9.0, channels)).collect();
        (data, Plane { batch: 1, channels, height: 3, width: 3 })
    }

    fn each(values: &[f32], channels: usize) -> Vec<f32> {
        values.iter().flat_map(|&value| std::iter::repeat_n(value, channels)).collect()
    }

    #[test]
    fn padding_never_wins_a_maximum() {
        let window = Window { kernel: [3, 3], stride: [2, 2], padding: [1; 4], ceil: false };
        for channels in [1, 19, 33] {
            let (image, plane) = image(channels);
            assert_eq!(max_pool2d(&image, plane, window), each(&[-5.0, -4.0, -2.0, -1.0], channels));
        }
    }

    #[test]
    fn a_partial_window_is_averaged_over_what_it_has() {
        let window = Window { kernel: [2, 2], stride: [2, 2], padding: [0; 4], ceil: true };
        for channels in [1, 19, 33] {
            let (image, plane) = image(channels);
            assert_eq!(avg_pool2d(&image, plane, window), each(&[-7.0, -5.5, -2.5, -1.0], channels));
        }
    }

    #[test]
    fn what_is_no_number_wins_wherever_it_stands() {
        let window = Window { kernel: [2, 2], stride: [1, 1], padding: [0; 4], ceil: false };
        for at in 0..4 {
            let (mut image, plane) = (vec![1.0; 4 * 17], Plane { batch: 1, channels: 17, height: 2, width: 2 });
            image[at * 17..][..17].fill(f32::NAN);
            assert!(max_pool2d(&image, plane, window).iter().all(|value| value.is_nan()), "{at}");
        }
    }
}
