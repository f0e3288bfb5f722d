use rayon::prelude::*;

use crate::{Plane, Window};

/// Convolution of each channel with its own kernel. `weight` is C × kh × kw; the window's `ceil` is not used.
///
/// # Panics
/// If the slices are not of the sizes that plane and window say, or the window does not fit.
pub fn depthwise_conv2d(input: &[f32], weight: &[f32], plane: Plane, window: Window) -> Vec<f32> {
    let [kernel_h, kernel_w] = window.kernel;
    assert_eq!(input.len(), plane.numel(), "the slice is not the plane's size");
    assert_eq!(weight.len(), plane.channels * kernel_h * kernel_w, "the weight is not C x kh x kw");
    let (height, width) =
        Window { ceil: false, ..window }.output(plane.height, plane.width).expect("the window fits its input");
    let size = plane.height * plane.width;
    let mut output = vec![0.0f32; plane.batch * plane.channels * height * width];
    output.par_chunks_mut((height * width).max(1)).enumerate().for_each(|(index, output)| {
        let image = &input[index * size..(index + 1) * size];
        let kernel = &weight[index % plane.channels * kernel_h * kernel_w..][..kernel_h * kernel_w];
        for row in 0..height {
            let line = &mut output[row * width..(row + 1) * width];
            for ky in 0..kernel_h {
                let Some(y) =
                    (row * window.stride[0] + ky).checked_sub(window.padding[0]).filter(|&y| y < plane.height)
                else {
                    continue;
                };
                let source = &image[y * plane.width..(y + 1) * plane.width];
                for kx in 0..kernel_w {
                    accumulate(line, source, kernel[ky * kernel_w + kx], kx, window.stride[1], window.padding[1]);
                }
            }
        }
    });
    output
}

/// `line[x] += weight * source[x * stride + kx - padding]` where that is inside the source.
fn accumulate(line: &mut [f32], source: &[f32], weight: f32, kx: usize, stride: usize, padding: usize) {
    let first = padding.saturating_sub(kx).div_ceil(stride).min(line.len());
    let end = (source.len() + padding).saturating_sub(kx).div_ceil(stride).min(line.len());
    if first >= end {
        return;
    }
    let start = first * stride + kx - padding;
    if stride == 1 {
        for (sum, value) in line[first..end].iter_mut().zip(&source[start..]) {
            *sum += weight * value;
        }
    } else {
        for (sum, value) in line[first..end].iter_mut().zip(source[start..].iter().step_by(stride)) {
            *sum += weight * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, one output at a time.
    fn reference(input: &[f32], weight: &[f32], plane: Plane, window: Window) -> Vec<f32> {
        let (height, width) = window.output(plane.height, plane.width).expect("fits");
        let mut output = Vec::new();
        for image in 0..plane.batch * plane.channels {
            for row in 0..height {
                for column in 0..width {
                    let mut sum = 0.0;
                    for ky in 0..window.kernel[0] {
                        for kx in 0..window.kernel[1] {
                            let y = (row * window.stride[0] + ky) as isize - window.padding[0] as isize;
                            let x = (column * window.stride[1] + kx) as isize - window.padding[1] as isize;
                            if (0..plane.height as isize).contains(&y) && (0..plane.width as isize).contains(&x) {
                                let at = (image * plane.height + y as usize) * plane.width + x as usize;
                                let w = ((image % plane.channels) * window.kernel[0] + ky) * window.kernel[1] + kx;
                                sum += weight[w] * input[at];
                            }
                        }
                    }
                    output.push(sum);
                }
            }
        }
        output
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            (batch, channels, height, width) in (1usize..3, 1usize..4, 1usize..9, 1usize..9),
            (kernel_h, kernel_w) in (1usize..6, 1usize..6),
            (stride_h, stride_w) in (1usize..4, 1usize..4),
            padding in prop::array::uniform4(0usize..4),
            seed in 0u32..1000,
        ) {
            let plane = Plane { batch, channels, height, width };
            let window = Window { kernel: [kernel_h, kernel_w], stride: [stride_h, stride_w], padding, ceil: false };
            prop_assume!(window.output(height, width).is_some());
            let value = |i: usize| ((i as u32).wrapping_mul(2654435761).wrapping_add(seed) % 17) as f32 - 8.0;
            let input: Vec<f32> = (0..plane.numel()).map(value).collect();
            let weight: Vec<f32> = (0..channels * kernel_h * kernel_w).map(|i| value(i + 7)).collect();
            prop_assert_eq!(depthwise_conv2d(&input, &weight, plane, window), reference(&input, &weight, plane, window));
        }
    }
}
