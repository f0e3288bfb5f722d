//! Convolution and pools as plain loops over windows.

use crate::array::Array;
use crate::number::Number;

/// Window, step and what surrounds an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Height, width.
    pub(crate) kernel: [usize; 2],
    /// Height, width.
    pub(crate) stride: [usize; 2],
    /// Top, left, bottom, right.
    pub(crate) padding: [usize; 4],
    /// Whether a window may reach beyond the padding, if it starts before it.
    pub(crate) ceil: bool,
}

impl Window {
    /// Where windows start along one axis, counted from the padding's edge.
    fn starts(&self, axis: usize, size: usize) -> Vec<usize> {
        let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
        let (before, after) = (self.padding[axis], self.padding[axis + 2]);
        let mut starts = Vec::new();
        let mut start = 0;
        // The first form fits as a whole; the second has at least its start on the image or the padding before it.
        while start + kernel <= before + size + after || (self.ceil && start < before + size) {
            starts.push(start);
            start += stride;
        }
        starts
    }

    /// Whether at least one window fits an image of that size.
    pub(crate) fn fits(&self, height: usize, width: usize) -> bool {
        !self.starts(0, height).is_empty() && !self.starts(1, width).is_empty()
    }

    /// The image with `outside` around it, as far as any window reaches.
    fn surround(&self, x: &Array, outside: Number) -> Array {
        let &[batch, channels, height, width] = x.shape() else { panic!("an image is N, C, H, W") };
        let reach = |axis: usize, size: usize| {
            let last = self.starts(axis, size).last().map_or(0, |start| start + self.kernel[axis]);
            last.max(self.padding[axis] + size)
        };
        let mut padded = Array::filled(&[batch, channels, reach(0, height), reach(1, width)], outside);
        for n in 0..batch {
            for c in 0..channels {
                for row in 0..height {
                    for column in 0..width {
                        let [top, left, ..] = self.padding;
                        padded.set([n, c, top + row, left + column], x.get([n, c, row, column]));
                    }
                }
            }
        }
        padded
    }
}

/// `x`: N, C, H, W; `weight`: out, C / groups, kernel; `bias`: out.
pub(crate) fn conv2d(x: &Array, weight: &Array, bias: Option<&Array>, window: Window, groups: usize) -> Array {
    let &[batch, _, height, width] = x.shape() else { panic!("an image is N, C, H, W") };
    let &[outs, ins, ..] = weight.shape() else { panic!("a weight is out, in, kernel") };
    let padded = window.surround(x, Number::ZERO);
    let (rows, columns) = (window.starts(0, height), window.starts(1, width));
    let mut y = Array::filled(&[batch, outs, rows.len(), columns.len()], Number::ZERO);
    for n in 0..batch {
        for out in 0..outs {
            let group = out / (outs / groups);
            for (row, &top) in rows.iter().enumerate() {
                for (column, &left) in columns.iter().enumerate() {
                    let mut sum = Number::ZERO;
                    for input in 0..ins {
                        for i in 0..window.kernel[0] {
                            for j in 0..window.kernel[1] {
                                let pixel = padded.get([n, group * ins + input, top + i, left + j]);
                                sum += pixel * weight.get([out, input, i, j]);
                            }
                        }
                    }
                    if let Some(bias) = bias {
                        sum += bias.get([out]);
                    }
                    y.set([n, out, row, column], sum);
                }
            }
        }
    }
    y
}

/// One number per window and channel. `fold` sees every number of the window, `outside` where there is no image, and
/// `end` the result with the number of pixels that lie on the image.
fn pool(
    x: &Array,
    window: Window,
    outside: Number,
    fold: impl Fn(&mut Number, Number),
    end: impl Fn(Number, usize) -> Number,
) -> Array {
    let &[batch, channels, height, width] = x.shape() else { panic!("an image is N, C, H, W") };
    let padded = window.surround(x, outside);
    let (rows, columns) = (window.starts(0, height), window.starts(1, width));
    let mut y = Array::filled(&[batch, channels, rows.len(), columns.len()], Number::ZERO);
    for n in 0..batch {
        for c in 0..channels {
            for (row, &top) in rows.iter().enumerate() {
                for (column, &left) in columns.iter().enumerate() {
                    let (mut result, mut inside) = (outside, 0);
                    for i in top..top + window.kernel[0] {
                        for j in left..left + window.kernel[1] {
                            fold(&mut result, padded.get([n, c, i, j]));
                            let [above, before, ..] = window.padding;
                            let on_image =
                                (above..above + height).contains(&i) && (before..before + width).contains(&j);
                            inside += usize::from(on_image);
                        }
                    }
                    y.set([n, c, row, column], end(result, inside));
                }
            }
        }
    }
    y
}

/// The largest number of each window.
pub(crate) fn max_pool2d(x: &Array, window: Window) -> Array {
    pool(x, window, Number::MINUS_INFINITY, |best, pixel| *best = best.max(pixel), |best, _| best)
}

/// The mean of each window's pixels on the image.
pub(crate) fn avg_pool2d(x: &Array, window: Window) -> Array {
    pool(x, window, Number::ZERO, |sum, pixel| *sum += pixel, |sum, inside| sum / Number::from(inside as f64))
}
