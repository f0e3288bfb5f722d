//! Geometry that pools and convolutions share.

/// Batch, channels, height and width of an NCHW tensor.
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
