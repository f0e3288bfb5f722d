//! Winograd's F(4×4, 3×3) for kernels of 3×3 with stride 1: a quarter of the products of the direct form.
//!
//! The image is cut into tiles of 4×4 results, which read 6×6 pixels each. In turns of some tiles: transform them, multiply
//! (for each of the 36 places of a transformed tile, tiles × channels in by channels in × channels out), transform back.
//! Where there are turns enough, a thread does a whole turn, whose numbers stay near it; in small images the threads share
//! out one turn's tiles, then its places, then its tiles again.

mod pack;
mod transform;

use std::mem::MaybeUninit;

pub(super) use self::pack::pack;
use self::transform::{IN, OUT, PRODUCTS};
use super::micro::{ROWS, Rows, Step, multiply, spread};
use super::panels::Panels;
use super::{Conv, ConvShape, Images, Last, Order, blocks};
use crate::rows::Room;
use crate::scratch::with_room;
use crate::threads::{share_out, threads};
use crate::vector::{Vector, dispatch};

/// Channels come in whole vectors of any instruction set.
const CHANNELS: usize = 16;
/// Tiles of a turn that one thread does.
const TURN: usize = 8 * ROWS;
/// Numbers between the places' blocks beyond what they hold, so that they do not meet in one line of the caches.
const GAP: usize = 16;

/// Whether a convolution can be done this way.
pub(super) fn fits(shape: &ConvShape) -> bool {
    shape.kernel == [3; 2]
        && shape.stride == [1; 2]
        && shape.input.is_multiple_of(CHANNELS)
        && shape.output.is_multiple_of(CHANNELS)
}

/// Tiles from which on products outweigh the reading of weights, which at 512 channels are 38 MB.
const ENOUGH: usize = 16;

/// Whether it is faster this way, for so many images of that size if they are known.
pub(super) fn gains(shape: &ConvShape, images: Option<(usize, [usize; 2])>) -> bool {
    let tiles = images.map(|(batch, size)| {
        let [rows, columns] = shape.over(size).map(|size| size.div_ceil(OUT));
        batch * rows * columns
    });
    shape.input.min(shape.output) >= 32 && tiles.is_none_or(|tiles| tiles >= ENOUGH)
}

/// Writes every element of `out`.
pub(super) fn run(conv: &Conv, places: &[Panels], x: Images<'_>, last: Last<'_>, out: &mut [MaybeUninit<f32>]) {
    assert!(last.coarse.is_none(), "Winograd's sums start with the bias");
    let shape = conv.shape;
    let size = shape.over(x.size);
    let grid = size.map(|size| size.div_ceil(OUT));
    let tiles = x.batch * grid[0] * grid[1];
    if tiles == 0 || out.is_empty() {
        return;
    }
    let zeros = vec![0.0; shape.input];
    let out = Room(out.as_mut_ptr().cast());
    let whole = Turn { conv, places, x, last, size, grid, zeros: &zeros, out, start: 0, count: tiles };
    if let Some(turns) = turns(tiles, threads()) {
        share_out(turns, |index| {
            let (start, end) = (index * tiles / turns, (index + 1) * tiles / turns);
            let turn = &Turn { start, count: end - start, ..whole };
            with_turn_room(turn, |room| {
                // SAFETY: the room is this turn's, and so are its tiles' results.
                dispatch!(whole_turn(turn: &Turn<'_>, room: TurnRoom));
            });
        });
    } else {
        let turn = &whole;
        with_turn_room(turn, |room| {
            // SAFETY, of all three: tasks write different tiles or places, and what they read was written before.
            share_out(tiles, |tile| dispatch!(transform_in(turn: &Turn<'_>, room: TurnRoom, tile: usize)));
            share_out(PRODUCTS, |place| dispatch!(multiply_place(turn: &Turn<'_>, room: TurnRoom, place: usize)));
            share_out(tiles, |tile| dispatch!(transform_out(turn: &Turn<'_>, room: TurnRoom, tile: usize)));
        });
    }
}

/// How many turns there are, of about the same length and as many for each thread; none where there are too few tiles.
fn turns(tiles: usize, threads: usize) -> Option<usize> {
    let turns = || ((tiles + TURN / 2) / TURN).max(1).next_multiple_of(threads);
    (threads == 1 || tiles >= threads * TURN).then(turns)
}

/// Room for a turn's transformed tiles and their products.
#[derive(Clone, Copy)]
struct TurnRoom {
    /// `[place][tile][channel in]`.
    transformed: Room,
    /// `[place][tile][channel out]`.
    products: Room,
    /// Numbers from one place to the next, of transformed tiles and of products.
    strides: [usize; 2],
}

fn with_turn_room(turn: &Turn<'_>, body: impl FnOnce(TurnRoom)) {
    let shape = turn.conv.shape;
    let strides = [shape.input, shape.output].map(|channels| turn.count.next_multiple_of(ROWS) * channels + GAP);
    with_room(PRODUCTS * (strides[0] + strides[1]), |room| {
        let (transformed, products) = room.split_at_mut(PRODUCTS * strides[0]);
        let [transformed, products] = [transformed, products].map(|room| Room(room.as_mut_ptr()));
        body(TurnRoom { transformed, products, strides });
    });
}

/// All that happens to a turn's tiles.
///
/// # Safety
/// As for [`Vector`]; nobody else uses the room or these tiles' results meanwhile.
#[inline(always)]
unsafe fn whole_turn<V: Vector>(turn: &Turn<'_>, room: TurnRoom) {
    // SAFETY: the caller's promise, and each part reads what the one before it wrote.
    unsafe {
        for tile in 0..turn.count {
            transform_in::<V>(turn, room, tile);
        }
        for place in 0..PRODUCTS {
            multiply_place::<V>(turn, room, place);
        }
        for tile in 0..turn.count {
            transform_out::<V>(turn, room, tile);
        }
    }
}

#[derive(Clone, Copy)]
struct Turn<'a> {
    conv: &'a Conv,
    places: &'a [Panels],
    x: Images<'a>,
    last: Last<'a>,
    size: [usize; 2],
    grid: [usize; 2],
    zeros: &'a [f32],
    out: Room,
    /// The first of its tiles.
    start: usize,
    /// How many they are.
    count: usize,
}

impl Turn<'_> {
    /// A tile's image, and its first row and column in the result.
    fn corner(&self, tile: usize) -> (usize, [usize; 2]) {
        let [rows, columns] = self.grid;
        let place = tile % (rows * columns);
        (tile / (rows * columns), [place / columns * OUT, place % columns * OUT])
    }

    /// The channels of each of a tile's pixels.
    fn pixels(&self, tile: usize) -> [*const f32; PRODUCTS] {
        let (image, corner) = self.corner(tile);
        let padding = self.conv.shape.padding;
        std::array::from_fn(|at| {
            let y = (corner[0] + at / IN).wrapping_sub(padding[0]);
            let x = (corner[1] + at % IN).wrapping_sub(padding[1]);
            self.x.run(image, y, x, self.conv.shape.input).unwrap_or(self.zeros).as_ptr()
        })
    }
}

/// Transforms one tile.
///
/// # Safety
/// As for [`Vector`]; nobody else uses this tile's numbers meanwhile.
#[inline(always)]
unsafe fn transform_in<V: Vector>(turn: &Turn<'_>, room: TurnRoom, tile: usize) {
    let pixels = turn.pixels(turn.start + tile);
    let input = turn.conv.shape.input;
    for channel in (0..input).step_by(V::LANES) {
        // SAFETY: a pixel has `input` channels, a whole number of vectors, and the room as many for each place and tile.
        unsafe {
            let mut columns = [[V::splat(0.0); IN]; IN];
            for (x, column) in columns.iter_mut().enumerate() {
                for (y, value) in column.iter_mut().enumerate() {
                    *value = V::load(pixels[y * IN + x].add(channel));
                }
                *column = transform::input(*column);
            }
            let to = room.transformed.0.add(tile * input + channel);
            for y in 0..IN {
                let mut row = [V::splat(0.0); IN];
                for (value, column) in row.iter_mut().zip(&columns) {
                    *value = column[y];
                }
                for (x, value) in transform::input(row).into_iter().enumerate() {
                    value.store(to.add((y * IN + x) * room.strides[0]));
                }
            }
        }
    }
}

/// All products of one place.
///
/// # Safety
/// As for [`Vector`]; the transformed tiles are written, and nobody else uses this place's products meanwhile.
#[inline(always)]
unsafe fn multiply_place<V: Vector>(turn: &Turn<'_>, room: TurnRoom, place: usize) {
    let count = turn.count;
    let panels = &turn.places[place];
    // SAFETY: the room has as many numbers for each place.
    let (from, to) =
        unsafe { (room.transformed.0.add(place * room.strides[0]), room.products.0.add(place * room.strides[1])) };
    for index in 0..panels.count() {
        // SAFETY: the caller's promise.
        unsafe {
            match panels.panel(index).width / V::LANES {
                1 => panel_products::<V, 1>(panels, index, count, from, to),
                2 => panel_products::<V, 2>(panels, index, count, from, to),
                _ => panel_products::<V, 4>(panels, index, count, from, to),
            }
        }
    }
}

/// Products with one panel.
///
/// # Safety
/// As for [`multiply_place`].
#[inline(always)]
unsafe fn panel_products<V: Vector, const N: usize>(
    panels: &Panels,
    index: usize,
    count: usize,
    from: *const f32,
    to: *mut f32,
) {
    let (panel, width) = (panels.panel(index), N * V::LANES);
    for (number, (_, channels)) in blocks(&[panels.input], width).into_iter().enumerate() {
        let weights = panel.weights[channels.start * width..].as_ptr();
        let sixes = count.div_ceil(ROWS);
        for (six, first) in (0..count).step_by(ROWS).enumerate() {
            // The last six is filled up with its last tile; the room has places for that.
            let rows: Rows = std::array::from_fn(|row| {
                // SAFETY: the tile is one of the turn's.
                unsafe { from.add((first + row).min(count - 1) * panels.input) }
            });
            // SAFETY: the tile's products lie in the room.
            let out = unsafe { to.add(first * panels.output + panel.first) };
            let step = Step {
                rows: &rows,
                next: &rows,
                later: weights.wrapping_add((channels.len() * width) + six * (channels.len() * width).div_ceil(sixes)),
                lines: width.div_ceil(sixes),
                taps: 1,
                start: channels.start,
                depth: channels.len(),
                weights,
                sums: match number {
                    0 => [panel.bias.as_ptr(); ROWS],
                    _ => spread(out, panels.output),
                },
                out,
                stride: panels.output,
                finish: None,
            };
            // SAFETY: rows have `input` numbers, and the room has whole sixes of tiles.
            unsafe { multiply::<V, N>(&step) };
        }
    }
}

/// Transforms one tile's products back, adds bias and residual, and applies the activation.
///
/// # Safety
/// As for [`Vector`]; the products are written, and nobody else uses this tile's results meanwhile.
#[inline(always)]
unsafe fn transform_out<V: Vector>(turn: &Turn<'_>, room: TurnRoom, tile: usize) {
    let (image, corner) = turn.corner(turn.start + tile);
    let output = turn.conv.shape.output;
    let [height, width] = turn.size;
    let (rows, columns) = (OUT.min(height - corner[0]), OUT.min(width - corner[1]));
    for channel in (0..output).step_by(V::LANES) {
        // SAFETY: products, bias, residual and result have `output` channels, a whole number of vectors, for each pixel.
        unsafe {
            let from = room.products.0.add(tile * output + channel).cast_const();
            let mut across = [[V::splat(0.0); OUT]; IN];
            for (y, row) in across.iter_mut().enumerate() {
                let mut products = [V::splat(0.0); IN];
                for (x, product) in products.iter_mut().enumerate() {
                    *product = V::load(from.add((y * IN + x) * room.strides[1]));
                }
                *row = transform::output(products);
            }
            let bias = V::load(turn.conv.bias[channel..].as_ptr());
            for x in 0..columns {
                let mut column = [V::splat(0.0); IN];
                for (value, row) in column.iter_mut().zip(&across) {
                    *value = row[x];
                }
                let column = transform::output(column);
                for (y, value) in column.into_iter().enumerate().take(rows) {
                    let pixel = (image * height + corner[0] + y) * width + corner[1] + x;
                    let value = value.add(bias);
                    let Last { act, residual, order, .. } = turn.last;
                    let value = match residual.map(|residual| V::load(residual[pixel * output + channel..].as_ptr())) {
                        None => act.on(value),
                        Some(residual) if order == Order::AddFirst => act.on(value.add(residual)),
                        Some(residual) => act.on(value).add(residual),
                    };
                    value.store(turn.out.0.add(pixel * output + channel));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_as_many_turns_and_none_is_empty_or_long() {
        for threads in 1..9 {
            for tiles in 1..2000 {
                let Some(turns) = turns(tiles, threads) else {
                    assert!(threads > 1 && tiles < threads * TURN);
                    continue;
                };
                assert!(turns > 0 && turns.is_multiple_of(threads) && turns <= tiles, "{turns} of {tiles}");
                assert!(tiles.div_ceil(turns) <= 2 * TURN, "{tiles} in {turns}");
            }
        }
    }
}
