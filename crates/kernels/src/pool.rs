use rayon::prelude::*;

use crate::{Plane, Window};

/// Maximum over each window; padding never wins. A window wholly in the padding gives −∞.
///
/// # Panics
/// If the slice is not the plane's size or the window does not fit.
pub fn max_pool2d(input: &[f32], plane: Plane, window: Window) -> Vec<f32> {
    pool(input, plane, window, |values| {
        values.fold(f32::NEG_INFINITY, |best, value| if value > best || value.is_nan() { value } else { best })
    })
}

/// Mean over the part of each window that lies inside the input (PyTorch's `count_include_pad=False`, which is the same
/// as its default where there is no padding).
///
/// # Panics
/// If the slice is not the plane's size or the window does not fit.
pub fn avg_pool2d(input: &[f32], plane: Plane, window: Window) -> Vec<f32> {
    pool(input, plane, window, |values| {
        let (sum, count) = values.fold((0.0f32, 0u32), |(sum, count), value| (sum + value, count + 1));
        sum / count.max(1) as f32
    })
}

fn pool(
    input: &[f32],
    plane: Plane,
    window: Window,
    reduce: impl Fn(&mut dyn Iterator<Item = f32>) -> f32 + Sync,
) -> Vec<f32> {
    assert_eq!(input.len(), plane.numel(), "the slice is not the plane's size");
    let (height, width) = window.output(plane.height, plane.width).expect("the window fits its input");
    let size = plane.height * plane.width;
    let mut output = vec![0.0; plane.batch * plane.channels * height * width];
    output.par_chunks_mut((height * width).max(1)).enumerate().for_each(|(channel, output)| {
        let image = &input[channel * size..(channel + 1) * size];
        for row in 0..height {
            for column in 0..width {
                let (rows, columns) = window.clip((row, column), (plane.height, plane.width));
                let mut values = rows.flat_map(|y| image[y * plane.width..][columns.clone()].iter().copied());
                output[row * width + column] = reduce(&mut values);
            }
        }
    });
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANE: Plane = Plane { batch: 1, channels: 1, height: 3, width: 3 };
    const IMAGE: [f32; 9] = [-9.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0];

    #[test]
    fn padding_never_wins_a_maximum() {
        let window = Window { kernel: [3, 3], stride: [2, 2], padding: [1; 4], ceil: false };
        assert_eq!(max_pool2d(&IMAGE, PLANE, window), [-5.0, -4.0, -2.0, -1.0]);
    }

    #[test]
    fn a_partial_window_is_averaged_over_what_it_has() {
        let window = Window { kernel: [2, 2], stride: [2, 2], padding: [0; 4], ceil: true };
        assert_eq!(avg_pool2d(&IMAGE, PLANE, window), [-7.0, -5.5, -2.5, -1.0]);
    }
}
