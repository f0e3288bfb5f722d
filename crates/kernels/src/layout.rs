//! Channels-last images moved about: no arithmetic.

use crate::Plane;
use crate::rows::fill;

/// N × C × H × W to N × H × W × C.
///
/// # Panics
/// If the slice is not the plane's size.
pub fn to_channels_last(input: &[f32], plane: Plane) -> Vec<f32> {
    assert_eq!(input.len(), plane.numel(), "the slice is not the plane's size");
    let Plane { batch, channels, height, width } = plane;
    fill(batch * height, width * channels, |row, out| {
        let (image, row) = (row / height, row % height);
        for channel in 0..channels {
            let line = &input[((image * channels + channel) * height + row) * width..][..width];
            for (pixel, &value) in out.chunks_exact_mut(channels).zip(line) {
                pixel[channel] = value;
            }
        }
    })
}

/// Twice the height and width, each pixel four times.
///
/// # Panics
/// If the slice is not the plane's size.
pub fn upsample2x(input: &[f32], plane: Plane) -> Vec<f32> {
    assert_eq!(input.len(), plane.numel(), "the slice is not the plane's size");
    let Plane { batch, channels, height, width } = plane;
    fill(batch * 2 * height, 2 * width * channels, |row, out| {
        let (image, row) = (row / (2 * height), row % (2 * height));
        let line = &input[(image * height + row / 2) * width * channels..][..width * channels];
        for (pair, pixel) in out.chunks_exact_mut(2 * channels).zip(line.chunks_exact(channels)) {
            pair[..channels].copy_from_slice(pixel);
            pair[channels..].copy_from_slice(pixel);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANE: Plane = Plane { batch: 2, channels: 3, height: 2, width: 2 };

    /// What stands where: 1000 × image + 100 × channel + 10 × row + column.
    fn value(image: usize, channel: usize, row: usize, column: usize) -> f32 {
        (1000 * image + 100 * channel + 10 * row + column) as f32
    }

    fn places(sizes: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
        (0..sizes.iter().product()).map(move |at: usize| {
            let [_, b, c, d] = sizes;
            [at / (b * c * d), at / (c * d) % b, at / d % c, at % d]
        })
    }

    fn channels_last() -> Vec<f32> {
        places([2, 2, 2, 3]).map(|[image, row, column, channel]| value(image, channel, row, column)).collect()
    }

    #[test]
    fn channels_come_last() {
        let first: Vec<f32> =
            places([2, 3, 2, 2]).map(|[image, channel, row, column]| value(image, channel, row, column)).collect();
        assert_eq!(to_channels_last(&first, PLANE), channels_last());
    }

    #[test]
    fn each_pixel_stands_four_times() {
        let want: Vec<f32> = places([2, 4, 4, 3])
            .map(|[image, row, column, channel]| value(image, channel, row / 2, column / 2))
            .collect();
        assert_eq!(upsample2x(&channels_last(), PLANE), want);
    }
}
