//! Geometry that pools and convolutions share.

use crate::rows::fill;

/// Batch, channels, height and width of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Plane {
    /// Elements in all.
    pub fn numel(&self) -> usize {
        self.batch * self.channels * self.height * self.width
    }
}

/// A window that moves over a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Whether a last window that is only partly inside counts (PyTorch's `ceil_mode`).
    pub ceil: bool,
}

impl Window {
    /// Height and width of the output, or `None` where the window is larger than the padded input.
    ///
    /// PyTorch's rule: floor (or ceil) of (in + padding − kernel) / stride, plus 1; with `ceil`, a last window that would
    /// start in the padding to the right is dropped.
    pub fn output(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let one = |size: usize, axis: usize| -> Option<usize> {
            let [before, after] = [self.padding[axis], self.padding[axis + 2]];
            let room = (size + before + after).checked_sub(self.kernel[axis])?;
            let stride = self.stride[axis].max(1);
            let steps = if self.ceil { room.div_ceil(stride) } else { room / stride };
            let dropped = self.ceil && steps * stride >= size + before;
            Some(steps + 1 - usize::from(dropped))
        };
        Some((one(height, 0)?, one(width, 1)?))
    }

    /// The part of the window at output position (`row`, `column`) that lies inside the input: rows and columns.
    pub(crate) fn clip(
        &self,
        (row, column): (usize, usize),
        (height, width): (usize, usize),
    ) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let axis = |at: usize, axis: usize, size: usize| {
            let start = at * self.stride[axis];
            let end = (start + self.kernel[axis]).saturating_sub(self.padding[axis]).min(size);
            start.saturating_sub(self.padding[axis]).min(end)..end
        };
        (axis(row, 0, height), axis(column, 1, width))
    }
}

/// Results that each depend on a window of channels-last images, made row by row on all threads.
pub(crate) struct Rows<'a> {
    input: &'a [f32],
    plane: Plane,
    window: Window,
    size: (usize, usize),
}

impl<'a> Rows<'a> {
    /// # Panics
    /// If the slice is not the plane's size or the window does not fit.
    pub(crate) fn new(input: &'a [f32], plane: Plane, window: Window) -> Rows<'a> {
        assert_eq!(input.len(), plane.numel(), "the slice is not the plane's size");
        let size = window.output(plane.height, plane.width).expect("the window fits its input");
        Rows { input, plane, window, size }
    }

    /// Calls `make` for each row of the result.
    pub(crate) fn make(&self, make: impl Fn(&Taps<'_>, &mut [f32]) + Sync) -> Vec<f32> {
        let (height, width) = self.size;
        let row = width * self.plane.channels;
        fill(self.plane.batch * height, row, |index, out| {
            make(&Taps { rows: self, image: index / height, row: index % height }, out);
        })
    }
}

/// What the windows of one row of the result see.
pub(crate) struct Taps<'a> {
    rows: &'a Rows<'a>,
    image: usize,
    row: usize,
}

impl<'a> Taps<'a> {
    /// Channels of a pixel.
    pub(crate) fn channels(&self) -> usize {
        self.rows.plane.channels
    }

    /// The taps of the window at `column` that are inside the image, each with its pixel's channels.
    #[inline(always)]
    pub(crate) fn at(&self, column: usize) -> impl Iterator<Item = (usize, &'a [f32])> + Clone + use<'a> {
        let Rows { input, plane, window, .. } = *self.rows;
        let start = [self.row * window.stride[0], column * window.stride[1]];
        let (ys, xs) = window.clip((self.row, column), (plane.height, plane.width));
        let image = self.image;
        ys.flat_map(move |y| {
            xs.clone().map(move |x| {
                let tap = (y + window.padding[0] - start[0]) * window.kernel[1] + x + window.padding[1] - start[1];
                let pixel = (image * plane.height + y) * plane.width + x;
                (tap, &input[pixel * plane.channels..][..plane.channels])
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_sizes_follow_pytorch() {
        let window = |kernel, stride, padding, ceil| Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 4],
            ceil,
        };
        assert_eq!(window(3, 2, 1, false).output(320, 320), Some((160, 160)));
        assert_eq!(window(2, 2, 0, true).output(5, 4), Some((3, 2)));
        assert_eq!(window(3, 2, 1, true).output(4, 4), Some((3, 3)));
        assert_eq!(window(2, 2, 1, true).output(3, 3), Some((2, 2)), "a window that starts in the padding is dropped");
        assert_eq!(window(5, 1, 0, false).output(4, 9), None);
        let same = Window { kernel: [2, 2], stride: [1, 1], padding: [0, 0, 1, 1], ceil: true };
        assert_eq!(same.output(320, 320), Some((320, 320)));
    }
}
