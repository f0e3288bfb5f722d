//! Multi-head attention, `softmax(q kᵀ · scale) v` (Vaswani et al. 2017, equation 1).
//!
//! A task is one head of one image with some of its queries. It packs the head's keys and values, then takes the queries in
//! tiles: the scores of a tile by all keys, their exponentials, and the sum of the values that they weigh. Only a tile's
//! scores exist at a time, and a head is read where it stands among the tokens' channels.

mod product;

use std::ops::Range;

use self::product::{Product, ROWS};
use crate::act::exp;
use crate::rows::{PIECES, Room};
use crate::scratch::{LINE, with_room};
use crate::threads::{share_out, threads};
use crate::vector::{Vector, dispatch};

/// Queries of a tile.
const TILE: usize = 4 * ROWS;
/// Keys whose values stay in the first-level cache while a tile's queries weigh them.
const BLOCK: usize = 128;

/// Shapes of an attention. Queries are B × Q × (heads × channels), keys and values B × K × (heads × channels).
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Images.
    pub batch: usize,
    /// Attention heads.
    pub heads: usize,
    /// Channels of a head.
    pub channels: usize,
    /// Queries of an image.
    pub queries: usize,
    /// Keys, and values, of an image.
    pub keys: usize,
    /// What queries are multiplied by.
    pub scale: f32,
}

impl Attention {
    /// For each head the mean of the values, weighted by the softmax over the keys: B × Q × (heads × channels).
    ///
    /// # Panics
    /// If the slices are not of the sizes that the shapes say, or there are no keys.
    pub fn forward(&self, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        let &Attention { batch, heads, channels, queries, keys, .. } = self;
        let numel = batch * queries * heads * channels;
        let tokens = batch * keys * heads * channels;
        assert_eq!((q.len(), k.len(), v.len()), (numel, tokens, tokens), "queries, keys and values");
        assert!(keys > 0, "attention over no keys");
        let mut out = Vec::with_capacity(numel);
        let job = &Job { shape: self, q, k, v, out: Room(out.as_mut_ptr()) };
        let tiles = queries.div_ceil(TILE);
        let parts = (PIECES * threads()).div_ceil((batch * heads).max(1)).min(tiles);
        share_out(batch * heads * parts, |task| {
            let (head, part) = (task / parts, task % parts);
            let some = part * tiles / parts * TILE..queries.min((part + 1) * tiles / parts * TILE);
            with_room(job.room().iter().sum(), |room| {
                // SAFETY: tasks write different heads or different queries of the result, which nobody else sees.
                dispatch!(attend(job: &Job<'_>, head: usize, some: Range<usize>, room: &mut [f32]));
            });
        });
        // SAFETY: every head of every query was written.
        unsafe { out.set_len(numel) };
        out
    }
}

struct Job<'a> {
    shape: &'a Attention,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    /// The result: no two tasks write the same element, and nobody reads before all are done.
    out: Room,
}

impl Job<'_> {
    /// Numbers of a task's keys, values, queries, scores and sums. A row of keys' or of channels' numbers is filled up to
    /// a line, which is a whole number of vectors.
    fn room(&self) -> [usize; 5] {
        let &Attention { channels, keys, .. } = self.shape;
        let (wide, padded) = (channels.next_multiple_of(LINE), keys.next_multiple_of(LINE));
        [wide * padded, keys * wide, TILE * wide, TILE * padded, TILE * wide]
    }

    /// Where a token's channels of a head start, in a sequence of that many tokens; heads are counted through all images.
    fn token(&self, head: usize, tokens: usize, index: usize) -> usize {
        let &Attention { heads, channels, .. } = self.shape;
        ((head / heads * tokens + index) * heads + head % heads) * channels
    }
}

/// Some queries of a head.
///
/// # Safety
/// As for [`Vector`]; nobody else writes or reads these elements of the result meanwhile.
#[inline(always)]
unsafe fn attend<V: Vector>(job: &Job<'_>, head: usize, queries: Range<usize>, room: &mut [f32]) {
    let &Attention { channels, keys: count, scale, .. } = job.shape;
    let (wide, padded) = (channels.next_multiple_of(LINE), count.next_multiple_of(LINE));
    let [of_keys, of_values, of_queries, of_scores, _] = job.room();
    let (keys, room) = room.split_at_mut(of_keys);
    let (values, room) = room.split_at_mut(of_values);
    let (tile, room) = room.split_at_mut(of_queries);
    let (scores, sums) = room.split_at_mut(of_scores);
    pack_keys::<V>(job, head, keys);
    for (index, row) in values.chunks_exact_mut(wide).enumerate() {
        row[..channels].copy_from_slice(&job.v[job.token(head, count, index)..][..channels]);
    }
    let mut first = queries.start;
    while first < queries.end {
        let valid = TILE.min(queries.end - first);
        for (row, to) in tile.chunks_exact_mut(wide).enumerate().take(valid) {
            let from = &job.q[job.token(head, job.shape.queries, first + row)..][..channels];
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * scale;
            }
        }
        // Rows behind the last query are numbers of no meaning, as are columns behind the last key or channel: nobody reads
        // what becomes of them.
        let sixes = valid.div_ceil(ROWS);
        let mut key = 0;
        while key < padded {
            let vectors = panel::<V>(padded - key);
            for six in 0..sixes {
                let product = Product {
                    rows: tile[six * ROWS * wide..].as_ptr(),
                    row: wide,
                    depth: channels,
                    columns: keys[key * channels..].as_ptr(),
                    column: vectors * V::LANES,
                    out: scores[six * ROWS * padded + key..].as_mut_ptr(),
                    stride: padded,
                    fresh: true,
                };
                // SAFETY: six rows of the tile, a panel of keys, and six rows of scores from its first key on.
                unsafe { product.run::<V>(vectors) };
            }
            key += vectors * V::LANES;
        }
        let mut totals = [0.0; TILE];
        for (row, total) in scores.chunks_exact_mut(padded).zip(&mut totals).take(valid) {
            row[count..].fill(f32::NEG_INFINITY);
            // SAFETY: a row is a whole number of vectors.
            *total = unsafe { exponentials::<V>(row) };
        }
        let mut start = 0;
        while start < count {
            let depth = BLOCK.min(count - start);
            for six in 0..sixes {
                let mut channel = 0;
                while channel < wide {
                    let vectors = panel::<V>(wide - channel);
                    let product = Product {
                        rows: scores[six * ROWS * padded + start..].as_ptr(),
                        row: padded,
                        depth,
                        columns: values[start * wide + channel..].as_ptr(),
                        column: wide,
                        out: sums[six * ROWS * wide + channel..].as_mut_ptr(),
                        stride: wide,
                        fresh: start == 0,
                    };
                    // SAFETY: six rows of scores and of sums, and as many values as keys in the block.
                    unsafe { product.run::<V>(vectors) };
                    channel += vectors * V::LANES;
                }
            }
            start += depth;
        }
        for (row, (sum, total)) in sums.chunks_exact_mut(wide).zip(totals).enumerate().take(valid) {
            let share = 1.0 / total;
            for value in sum.iter_mut() {
                *value *= share;
            }
            let to = job.token(head, job.shape.queries, first + row);
            // SAFETY: the head's channels of this query lie in the result, and nobody else has them.
            unsafe { std::ptr::copy_nonoverlapping(sum.as_ptr(), job.out.0.add(to), channels) };
        }
        first += TILE;
    }
}

/// A head's keys in panels of as many as [`panel`] says, each panel channels × keys.
#[inline(always)]
fn pack_keys<V: Vector>(job: &Job<'_>, head: usize, packed: &mut [f32]) {
    let &Attention { channels, keys, .. } = job.shape;
    let padded = keys.next_multiple_of(LINE);
    let mut first = 0;
    while first < padded {
        let width = panel::<V>(padded - first) * V::LANES;
        let packed = &mut packed[first * channels..][..width * channels];
        for column in 0..width.min(keys - first) {
            let from = &job.k[job.token(head, keys, first + column)..][..channels];
            for (row, from) in packed.chunks_exact_mut(width).zip(from) {
                row[column] = *from;
            }
        }
        first += width;
    }
}

/// Vectors of the next panel, where that many columns are left: 1, 2 or 4.
#[inline(always)]
fn panel<V: Vector>(left: usize) -> usize {
    match left / V::LANES {
        4.. if V::WIDE >= 4 => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Exponentials of the numbers of a row less its largest, and their sum. A NaN makes the sum one.
///
/// # Safety
/// As for [`Vector`]; the row is a whole number of vectors.
#[inline(always)]
unsafe fn exponentials<V: Vector>(row: &mut [f32]) -> f32 {
    // SAFETY: the caller's promise; every load and store is inside the row.
    unsafe {
        let mut best = [V::splat(f32::NEG_INFINITY); 2];
        for at in (0..row.len()).step_by(V::LANES) {
            // Passes over NaN, which its own exponential brings back.
            let best = &mut best[at / V::LANES % 2];
            *best = V::load(row[at..].as_ptr()).max(*best);
        }
        let largest = V::splat(best[0].max(best[1]).largest());
        let mut sums = [V::splat(0.0); 2];
        for at in (0..row.len()).step_by(V::LANES) {
            let value = exp(V::load(row[at..].as_ptr()).sub(largest));
            value.store(row[at..].as_mut_ptr());
            let sum = &mut sums[at / V::LANES % 2];
            *sum = sum.add(value);
        }
        sums[0].add(sums[1]).sum()
    }
}

#[cfg(test)]
mod tests;
