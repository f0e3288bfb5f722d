use crate::vector::{Vector, dispatch};
use crate::window::{Rows, Taps};
use crate::{Act, Plane, Window};

/// Convolution of each channel with its own kernel: N × H × W × C to N × H′ × W′ × C. `weight` is kh × kw × C, `bias` one for
/// each channel; the window's `ceil` is not used.
///
/// # Panics
/// If the slices are not of the sizes that plane and window say, or the window does not fit.
pub fn depthwise_conv2d(
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    act: Act,
    plane: Plane,
    window: Window,
) -> Vec<f32> {
    let channels = plane.channels;
    assert_eq!(weight.len(), window.kernel[0] * window.kernel[1] * channels, "the weight is not kh x kw x C");
    assert_eq!(bias.len(), channels, "the bias is not one per channel");
    let window = Window { ceil: false, ..window };
    let rows = Rows::new(input, plane, window);
    rows.make(|row, out| {
        dispatch!(convolve(row: &Taps<'_>, weight: &[f32], bias: &[f32], act: Act, out: &mut [f32]));
    })
}

/// One row of the result.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn convolve<V: Vector>(row: &Taps<'_>, weight: &[f32], bias: &[f32], act: Act, out: &mut [f32]) {
    let channels = bias.len();
    for (column, out) in out.chunks_exact_mut(channels).enumerate() {
        let taps = row.at(column);
        let mut channel = 0;
        while channel + V::LANES <= channels {
            // SAFETY: pixels, weights of a tap, biases and the result have `channels` numbers.
            unsafe {
                let mut sum = V::load(bias[channel..].as_ptr());
                for (tap, pixel) in taps.clone() {
                    let weight = V::load(weight[tap * channels + channel..].as_ptr());
                    sum = V::load(pixel[channel..].as_ptr()).mul_add(weight, sum);
                }
                act.on(sum).store(out[channel..].as_mut_ptr());
            }
            channel += V::LANES;
        }
        for channel in channel..channels {
            let sum = taps
                .clone()
                .fold(bias[channel], |sum, (tap, pixel)| sum + pixel[channel] * weight[tap * channels + channel]);
            out[channel] = act.reference(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, one output at a time.
    fn reference(input: &[f32], weight: &[f32], bias: &[f32], plane: Plane, window: Window) -> Vec<f32> {
        let (height, width) = window.output(plane.height, plane.width).expect("fits");
        let mut output = Vec::new();
        for place in 0..plane.batch * height * width * plane.channels {
            let (channel, place) = (place % plane.channels, place / plane.channels);
            let (image, row, column) = (place / width / height, place / width % height, place % width);
            let mut sum = bias[channel];
            for ky in 0..window.kernel[0] {
                for kx in 0..window.kernel[1] {
                    let y = (row * window.stride[0] + ky) as isize - window.padding[0] as isize;
                    let x = (column * window.stride[1] + kx) as isize - window.padding[1] as isize;
                    if (0..plane.height as isize).contains(&y) && (0..plane.width as isize).contains(&x) {
                        let pixel = (image * plane.height + y as usize) * plane.width + x as usize;
                        let tap = ky * window.kernel[1] + kx;
                        sum += weight[tap * plane.channels + channel] * input[pixel * plane.channels + channel];
                    }
                }
            }
            output.push(Act::Relu.reference(sum));
        }
        output
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            (batch, channels, height, width) in (1usize..3, 1usize..40, 1usize..9, 1usize..9),
            kernel in prop::array::uniform2(1usize..6),
            stride in prop::array::uniform2(1usize..4),
            padding in prop::array::uniform4(0usize..4),
            seed in 0u32..1000,
        ) {
            let plane = Plane { batch, channels, height, width };
            let window = Window { kernel, stride, padding, ceil: false };
            prop_assume!(window.output(height, width).is_some());
            // Whole numbers: sums are exact in any order.
            let value = |i: usize| ((i as u32).wrapping_mul(2654435761).wrapping_add(seed) % 17) as f32 - 8.0;
            let input: Vec<f32> = (0..plane.numel()).map(value).collect();
            let weight: Vec<f32> = (0..channels * kernel[0] * kernel[1]).map(|i| value(i + 7)).collect();
            let bias: Vec<f32> = (0..channels).map(|i| value(i + 3)).collect();
            let got = depthwise_conv2d(&input, &weight, &bias, Act::Relu, plane, window);
            prop_assert_eq!(got, reference(&input, &weight, &bias, plane, window));
        }
    }
}
