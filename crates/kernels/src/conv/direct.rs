//! Convolution as products of pixels with panels of weights, straight from the image.
//!
//! Output pixels are taken in tiles. A tile first finds, for every pixel and tap of the kernel, where the tap's channels
//! start in the image (or in a row of zeros where it lies outside). Then the depth, taps × channels, is cut into blocks
//! small enough for a panel's part to stay in the first-level cache; each block of each panel meets all pixels of the tile,
//! six at a time. Sums wait in the result between blocks.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::micro::{Finish, ROWS, Rows, Step, multiply, spread};
use super::panels::{Panel, Panels};
use super::{Conv, Images, Last, blocks};
use crate::rows::{PIECES, Room};
use crate::threads::{share_out, threads};
use crate::vector::{Vector, dispatch};

/// Pixels of a tile, about.
const TILE: usize = 16 * ROWS;

/// Writes every element of `out`.
pub(super) fn run(
    conv: &Conv,
    panels: &Panels,
    parts: &[(Images<'_>, usize)],
    last: Last<'_>,
    out: &mut [MaybeUninit<f32>],
) {
    let Images { batch, size, .. } = parts[0].0;
    let size = conv.shape.over(size);
    let pixels = batch * size[0] * size[1];
    let count = panels.count();
    if pixels == 0 || count == 0 {
        return;
    }
    // Tiles of the same size, in whole sixes.
    let tile = pixels.div_ceil(((pixels + TILE / 2) / TILE).max(1)).next_multiple_of(ROWS);
    let tiles = pixels.div_ceil(tile);
    let shares = (PIECES * threads()).div_ceil(tiles).min(count);
    let zeros = vec![0.0; conv.shape.input];
    let runs: Vec<usize> = (0..conv.shape.taps()).flat_map(|_| parts.iter().map(|(_, channels)| *channels)).collect();
    let out = Room(out.as_mut_ptr().cast());
    let image = &Image { conv, panels, parts, runs: &runs, size, pixels, zeros: &zeros, last, out };
    share_out(tiles * shares, |task| {
        let (first, share) = (task / shares * tile, task % shares);
        let panels = share * count / shares..(share + 1) * count / shares;
        let pixels = first..(first + tile).min(image.pixels);
        // SAFETY: tasks write different pixels or different channels of the result, which nobody else sees.
        dispatch!(piece(image: &Image<'_>, pixels: Range<usize>, panels: Range<usize>));
    });
}

struct Image<'a> {
    conv: &'a Conv,
    panels: &'a Panels,
    parts: &'a [(Images<'a>, usize)],
    /// Channels of every part, for every tap.
    runs: &'a [usize],
    /// Of the result.
    size: [usize; 2],
    pixels: usize,
    zeros: &'a [f32],
    last: Last<'a>,
    /// The result: no two tasks write the same element, and nobody reads before all are done.
    out: Room,
}

impl Image<'_> {
    /// A place in the result: image, row and column.
    fn place(&self, pixel: usize) -> (usize, usize, usize) {
        let [height, width] = self.size;
        let place = pixel % (height * width);
        (pixel / (height * width), place / width, place % width)
    }

    /// Where each tap of each pixel reads, `[six pixels][tap][part]`. The last six is filled up with its last pixel.
    fn rows(&self, pixels: &Range<usize>) -> Vec<Rows> {
        let shape = &self.conv.shape;
        let mut rows = Vec::with_capacity(pixels.len().div_ceil(ROWS) * self.runs.len());
        for first in pixels.clone().step_by(ROWS) {
            let places: [_; ROWS] = std::array::from_fn(|row| self.place((first + row).min(pixels.end - 1)));
            for ky in 0..shape.kernel[0] {
                for kx in 0..shape.kernel[1] {
                    for (x, channels) in self.parts {
                        rows.push(places.map(|(image, row, column)| {
                            let y = (row * shape.stride[0] + ky).wrapping_sub(shape.padding[0]);
                            let column = (column * shape.stride[1] + kx).wrapping_sub(shape.padding[1]);
                            x.run(image, y, column, *channels).unwrap_or(self.zeros).as_ptr()
                        }));
                    }
                }
            }
        }
        rows
    }

    /// Where the coarse map's sums lie, for six pixels; without one there are none.
    fn coarse(&self, pixels: &Range<usize>) -> Vec<Rows> {
        let Some(coarse) = self.last.coarse else { return Vec::new() };
        let [height, width] = self.size.map(|size| size / 2);
        let at = |pixel: usize| {
            let (image, row, column) = self.place(pixel.min(pixels.end - 1));
            coarse[((image * height + row / 2) * width + column / 2) * self.conv.shape.output..].as_ptr()
        };
        pixels.clone().step_by(ROWS).map(|first| std::array::from_fn(|row| at(first + row))).collect()
    }
}

/// Computes some pixels' channels of some panels.
///
/// # Safety
/// As for [`Vector`]; nobody else writes or reads these elements of the result meanwhile.
#[inline(always)]
unsafe fn piece<V: Vector>(image: &Image<'_>, pixels: Range<usize>, panels: Range<usize>) {
    let (rows, coarse) = (image.rows(&pixels), image.coarse(&pixels));
    // A whole tile's sums, for panels that are wider than what is left of the channels.
    let mut spare = Vec::new();
    for index in panels {
        let panel = image.panels.panel(index);
        // SAFETY: the caller's promise.
        unsafe {
            match panel.width / V::LANES {
                1 => tile::<V, 1>(image, &rows, &coarse, &pixels, panel, &mut spare),
                2 => tile::<V, 2>(image, &rows, &coarse, &pixels, panel, &mut spare),
                _ => tile::<V, 4>(image, &rows, &coarse, &pixels, panel, &mut spare),
            }
        }
    }
}

/// All pixels of a tile by one panel.
///
/// # Safety
/// As for [`piece`].
#[inline(always)]
unsafe fn tile<V: Vector, const N: usize>(
    image: &Image<'_>,
    rows: &[Rows],
    coarse: &[Rows],
    pixels: &Range<usize>,
    panel: Panel<'_>,
    spare: &mut Vec<f32>,
) {
    let (runs, output) = (image.runs, image.conv.shape.output);
    let width = N * V::LANES;
    let columns = width.min(output - panel.first);
    // What a whole six of pixels by a whole panel writes fits the result; anything else goes through spare room.
    let whole = |first: usize| columns == width && first + ROWS <= pixels.end;
    if columns < width || !pixels.len().is_multiple_of(ROWS) {
        spare.resize(2 * pixels.len().next_multiple_of(ROWS) * width, 0.0);
    }
    let half = spare.len() / 2;
    let (sums, residuals) = spare.split_at_mut(half);
    let at = |pixel: usize| pixel * output + panel.first;
    let (blocks, sixes) = (blocks(runs, width), pixels.len().div_ceil(ROWS));
    let last = blocks.len() - 1;
    let mut done = 0;
    for (number, (block, channels)) in blocks.into_iter().enumerate() {
        let depth = block.len() * channels.len();
        let weights = panel.weights[done * width..][..depth * width].as_ptr();
        done += depth;
        for (six, first) in pixels.clone().step_by(ROWS).enumerate() {
            let valid = ROWS.min(pixels.end - first);
            let finish = (number == last).then_some(image.last);
            let (out, stride, residual) = if whole(first) {
                let residual = image.last.residual.map_or(std::ptr::null(), |residual| residual[at(first)..].as_ptr());
                // SAFETY: the pixel lies in the result.
                (unsafe { image.out.0.add(at(first)) }, output, residual)
            } else {
                let residual = image.last.residual.filter(|_| finish.is_some()).map_or(std::ptr::null(), |residual| {
                    for row in 0..valid {
                        residuals[row * width..][..columns].copy_from_slice(&residual[at(first + row)..][..columns]);
                    }
                    residuals.as_ptr()
                });
                (sums[six * ROWS * width..].as_mut_ptr(), width, residual)
            };
            let sums_of = |row: usize| match coarse.get(six) {
                // A narrow panel's sums wait in the spare room, which has room for a whole panel's.
                Some(coarse) if columns < width => {
                    // SAFETY: the coarse map has as many channels; the spare room has space for six whole rows.
                    unsafe {
                        let to = out.add(row * stride);
                        std::ptr::copy_nonoverlapping(coarse[row].add(panel.first), to, columns);
                        to.cast_const()
                    }
                }
                Some(coarse) => coarse[row].wrapping_add(panel.first),
                None => panel.bias.as_ptr(),
            };
            let step = Step {
                rows: rows[six * runs.len() + block.start..].as_ptr(),
                next: rows[(six + 1).min(sixes - 1) * runs.len() + block.start..].as_ptr(),
                // The next block's weights, which follow on these, in as many parts as there are sixes.
                later: weights.wrapping_add(depth * width + six * (depth * width).div_ceil(sixes)),
                lines: if image.panels.are_far() { width.div_ceil(sixes) } else { 0 },
                taps: block.len(),
                start: channels.start,
                depth: channels.len(),
                weights,
                sums: if number == 0 { std::array::from_fn(sums_of) } else { spread(out, stride) },
                out,
                stride,
                finish: finish.map(|Last { act, order, .. }| Finish { residual, act, order }),
            };
            // SAFETY: rows are runs of a part's channels in the image or the zeros; weights, bias, sums and residual are as
            // wide as the panel; the result has room for a whole six.
            unsafe { multiply::<V, N>(&step) };
            if number == last && !whole(first) {
                for row in 0..valid {
                    let sums = &sums[(six * ROWS + row) * width..][..columns];
                    // SAFETY: the pixel's columns lie in the result, and the spare room is elsewhere.
                    unsafe { std::ptr::copy_nonoverlapping(sums.as_ptr(), image.out.0.add(at(first + row)), columns) };
                }
            }
        }
    }
}
