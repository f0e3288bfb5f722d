//! Multi-head attention, `softmax(q kᵀ · scale) v` (Vaswani et al. 2017, equation 1).
//!
//! A task is one head of one image with some of its queries. It packs the head's keys and values, then takes the queries in
//! tiles: the scores of a tile by all keys, their exponentials, and the sum of the values that they weigh. Only a tile's
//! scores exist at a time, and a head is read where it stands among the tokens' channels.

use std::ops::Range;

use crate::act::exp;
use crate::rows::{PIECES, Room};
use crate::scratch::{LINE, with_room};
use crate::threads::{share_out, threads};
use crate::vector::{Vector, dispatch};

/// Queries that the innermost loop takes at once.
const ROWS: usize = 6;
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
        row[channels..].fill(0.0);
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
        // Rows behind the last query are numbers of no meaning, whose results nobody reads.
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
            *total = unsafe { soften::<V>(row) };
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

/// A head's keys in panels of as many as [`panel`] says, each panel channels × keys; zeros behind the last key.
#[inline(always)]
fn pack_keys<V: Vector>(job: &Job<'_>, head: usize, packed: &mut [f32]) {
    let &Attention { channels, keys, .. } = job.shape;
    let padded = keys.next_multiple_of(LINE);
    let mut first = 0;
    while first < padded {
        let width = panel::<V>(padded - first) * V::LANES;
        let packed = &mut packed[first * channels..][..width * channels];
        for column in 0..width {
            if first + column < keys {
                let from = &job.k[job.token(head, keys, first + column)..][..channels];
                for (row, from) in packed.chunks_exact_mut(width).zip(from) {
                    row[column] = *from;
                }
            } else {
                for row in packed.chunks_exact_mut(width) {
                    row[column] = 0.0;
                }
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
unsafe fn soften<V: Vector>(row: &mut [f32]) -> f32 {
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

/// Six rows of numbers by some columns: `out = rows · columns`, or that added to what is there.
struct Product {
    rows: *const f32,
    /// Numbers from one row to the next.
    row: usize,
    depth: usize,
    columns: *const f32,
    /// Numbers from the columns of one depth to those of the next.
    column: usize,
    out: *mut f32,
    /// Numbers from one row of the result to the next.
    stride: usize,
    /// Whether sums start at 0.
    fresh: bool,
}

impl Product {
    /// # Safety
    /// As for [`Vector`]; every pointer is valid for six rows, the depth, and as many vectors of columns.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self, vectors: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match vectors {
                1 => self.multiply::<V, 1>(),
                2 => self.multiply::<V, 2>(),
                _ => self.multiply::<V, 4>(),
            }
        }
    }

    /// # Safety
    /// As for [`run`](Product::run).
    #[inline(always)]
    unsafe fn multiply<V: Vector, const N: usize>(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            // Each row's sums have a name of their own, so that they stay in registers.
            let mut a = self.start::<V, N>(0);
            let mut b = self.start::<V, N>(1);
            let mut c = self.start::<V, N>(2);
            let mut d = self.start::<V, N>(3);
            let mut e = self.start::<V, N>(4);
            let mut f = self.start::<V, N>(5);
            for at in 0..self.depth {
                let mut columns = [V::splat(0.0); N];
                for (vector, values) in columns.iter_mut().enumerate() {
                    *values = V::load(self.columns.add(at * self.column + vector * V::LANES));
                }
                let row = self.rows.add(at);
                add_products(&mut a, row, &columns);
                add_products(&mut b, row.add(self.row), &columns);
                add_products(&mut c, row.add(2 * self.row), &columns);
                add_products(&mut d, row.add(3 * self.row), &columns);
                add_products(&mut e, row.add(4 * self.row), &columns);
                add_products(&mut f, row.add(5 * self.row), &columns);
            }
            for (row, sums) in [a, b, c, d, e, f].into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    sum.store(self.out.add(row * self.stride + vector * V::LANES));
                }
            }
        }
    }

    /// What a row's sums start with.
    ///
    /// # Safety
    /// As for [`run`](Product::run).
    #[inline(always)]
    unsafe fn start<V: Vector, const N: usize>(&self, row: usize) -> [V; N] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [V::splat(0.0); N];
            if !self.fresh {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(self.out.add(row * self.stride + vector * V::LANES));
                }
            }
            sums
        }
    }
}

/// One number of a row times the columns of its depth.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn add_products<V: Vector, const N: usize>(sums: &mut [V; N], value: *const f32, columns: &[V; N]) {
    // SAFETY: the caller's promise.
    unsafe {
        let value = V::splat(*value);
        for vector in 0..N {
            sums[vector] = value.mul_add(columns[vector], sums[vector]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, one result at a time.
    fn reference(shape: &Attention, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f64> {
        let &Attention { batch, heads, channels, queries, keys, scale } = shape;
        let mut out = Vec::new();
        for place in 0..batch * queries * heads {
            let (image, query, head) = (place / heads / queries, place / heads % queries, place % heads);
            let row = |x: &[f32], tokens: usize, token: usize| -> Vec<f64> {
                let start = ((image * tokens + token) * heads + head) * channels;
                x[start..start + channels].iter().map(|&x| f64::from(x)).collect()
            };
            let query = row(q, queries, query);
            let scores: Vec<f64> = (0..keys)
                .map(|key| {
                    let dot: f64 = row(k, keys, key).iter().zip(&query).map(|(k, q)| k * q).sum();
                    dot * f64::from(scale)
                })
                .collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for channel in 0..channels {
                let sum: f64 = weights.iter().enumerate().map(|(key, w)| w * row(v, keys, key)[channel]).sum();
                out.push(sum / total);
            }
        }
        out
    }

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let hash = |i: usize| (i as u32 + 1).wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(0x85eb_ca6b);
        (0..count).map(|i| (hash(i) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn inputs(shape: &Attention, seed: u32) -> [Vec<f32>; 3] {
        let &Attention { batch, heads, channels, queries, keys, .. } = shape;
        [queries, keys, keys].map(|tokens| numbers(batch * tokens * heads * channels, seed.wrapping_add(tokens as u32)))
    }

    fn check(shape: &Attention, q: &[f32], k: &[f32], v: &[f32]) {
        let got = shape.forward(q, k, v);
        let want = reference(shape, q, k, v);
        assert_eq!(got.len(), want.len());
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            let same = (f64::from(*got) - want).abs() < 2e-5 || *got == *want as f32 || got.is_nan() && want.is_nan();
            assert!(same, "{shape:?}: {got} at {at}, not {want}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn equals_the_definition(
            (batch, heads, channels) in (1usize..3, 1usize..4, 1usize..40),
            (queries, keys) in (1usize..60, 1usize..90),
            (scale, seed) in (0.05f32..4.0, any::<u32>()),
        ) {
            let shape = Attention { batch, heads, channels, queries, keys, scale };
            let [q, k, v] = inputs(&shape, seed);
            check(&shape, &q, &k, &v);
        }
    }

    #[test]
    fn sizes_of_the_network_and_one_token() {
        for (queries, keys) in [(400, 400), (300, 300), (1, 1), (1, 300), (25, 1)] {
            let shape = Attention { batch: 1, heads: 8, channels: 32, queries, keys, scale: 0.2 };
            let [q, k, v] = inputs(&shape, 7);
            check(&shape, &q, &k, &v);
        }
        let shape = Attention { batch: 2, heads: 2, channels: 4, queries: 0, keys: 3, scale: 1.0 };
        assert!(shape.forward(&[], &[0.0; 48], &[0.0; 48]).is_empty());
    }

    #[test]
    fn what_is_no_number_is_carried_and_reaches_no_other_head_or_query() {
        let shape = Attention { batch: 2, heads: 3, channels: 5, queries: 29, keys: 33, scale: 0.4 };
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for which in 0..3 {
                let mut of = inputs(&shape, 3);
                let at = of[which].len() * 2 / 3 + 1;
                of[which][at] = value;
                let [q, k, v] = of;
                check(&shape, &q, &k, &v);
            }
        }
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let shape = Attention { batch: 1, heads: 1, channels: 3, queries: 7, keys: 20, scale: 300.0 };
        let [q, k, v] = inputs(&shape, 5);
        let got = shape.forward(&q, &k, &v);
        for (got, want) in got.iter().zip(reference(&shape, &q, &k, &v)) {
            assert!((f64::from(*got) - want).abs() < 1e-3, "{got}, not {want}");
        }
    }
}
