//! Multi-scale deformable sampling (Deformable DETR, Zhu et al. 2021, equation 3; RT-DETRv2 for the discrete form).

use crate::rows::fill;
use crate::vector::{Vector, dispatch};

/// Pixels that are found before their channels are added up.
const TAPS: usize = 64;

/// Shapes of one sampling. Rows are in the order of PyTorch's reference: values B × L × heads × channels, locations
/// B × Q × heads × points × 2 (x, y), weights B × Q × heads × points, result B × Q × (heads × channels).
#[derive(Clone, Debug)]
pub struct Deformable {
    /// Images.
    pub batch: usize,
    /// Queries.
    pub queries: usize,
    /// Attention heads.
    pub heads: usize,
    /// Channels of a head.
    pub channels: usize,
    /// Height and width of each level.
    pub levels: Vec<(usize, usize)>,
    /// Points per head on each level.
    pub points: Vec<usize>,
}

/// Integer pixel (x, y) for every point, in the order of the locations; what discrete sampling rounds to.
pub type Nearest = Vec<[u32; 2]>;

impl Deformable {
    /// Tokens of all levels of one image.
    pub fn tokens(&self) -> usize {
        self.levels.iter().map(|(height, width)| height * width).sum()
    }

    /// Points per head over all levels.
    pub fn total_points(&self) -> usize {
        self.points.iter().sum()
    }

    fn check(&self, value: &[f32], points: usize, weights: &[f32]) {
        let rows = self.batch * self.queries * self.heads * self.total_points();
        assert_eq!(value.len(), self.batch * self.tokens() * self.heads * self.channels, "values");
        assert_eq!(self.levels.len(), self.points.len(), "points per level");
        assert!(self.levels.iter().all(|&(height, width)| height * width > 0), "a level without pixels");
        assert_eq!((points, weights.len()), (rows, rows), "points and weights");
    }

    fn sample(&self, value: &[f32], points: Points<'_>, weights: &[f32]) -> Vec<f32> {
        let job =
            &Job { shape: self, tokens: self.tokens(), points_of_head: self.total_points(), value, points, weights };
        fill(self.batch * self.queries, self.heads * self.channels, |query, out| {
            dispatch!(sample_query(job: &Job<'_>, query: usize, out: &mut [f32]));
        })
    }
}

/// Where points read.
#[derive(Clone, Copy)]
enum Points<'a> {
    /// Between pixels, at these locations.
    Between(&'a [f32]),
    /// These pixels.
    At(&'a [[u32; 2]]),
}

struct Job<'a> {
    shape: &'a Deformable,
    tokens: usize,
    points_of_head: usize,
    value: &'a [f32],
    points: Points<'a>,
    weights: &'a [f32],
}

/// Pixels that a head reads, by the place of their first channel, and their weights.
struct Taps {
    at: [usize; TAPS],
    weight: [f32; TAPS],
    count: usize,
}

impl Taps {
    #[inline(always)]
    fn push(&mut self, at: usize, weight: f32) {
        self.at[self.count] = at;
        self.weight[self.count] = weight;
        self.count += 1;
    }

    /// Adds the pixels' channels, each times its weight, and forgets the pixels.
    ///
    /// # Safety
    /// As for [`Vector`].
    #[inline(always)]
    unsafe fn add<V: Vector>(&mut self, value: &[f32], out: &mut [f32]) {
        let (taps, channels) = (self.count, out.len());
        self.count = 0;
        let mut channel = 0;
        while channel + 2 * V::LANES <= channels {
            // SAFETY: two vectors of channels are left of the result and of every pixel.
            unsafe {
                let (mut low, mut high) =
                    (V::load(out[channel..].as_ptr()), V::load(out[channel + V::LANES..].as_ptr()));
                for tap in 0..taps {
                    let pixel = value[self.at[tap] + channel..][..2 * V::LANES].as_ptr();
                    let weight = V::splat(self.weight[tap]);
                    low = weight.mul_add(V::load(pixel), low);
                    high = weight.mul_add(V::load(pixel.add(V::LANES)), high);
                }
                low.store(out[channel..].as_mut_ptr());
                high.store(out[channel + V::LANES..].as_mut_ptr());
            }
            channel += 2 * V::LANES;
        }
        for tap in 0..taps {
            let pixel = &value[self.at[tap] + channel..][..channels - channel];
            for (sum, value) in out[channel..].iter_mut().zip(pixel) {
                *sum += self.weight[tap] * value;
            }
        }
    }
}

/// One query's row of the result.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn sample_query<V: Vector>(job: &Job<'_>, query: usize, out: &mut [f32]) {
    let &Job { shape, tokens, points_of_head, value, points, weights } = job;
    let mut taps = Taps { at: [0; TAPS], weight: [0.0; TAPS], count: 0 };
    for (head, out) in out.chunks_exact_mut(shape.channels).enumerate() {
        out.fill(0.0);
        let mut point = (query * shape.heads + head) * points_of_head;
        let mut start = query / shape.queries * tokens;
        for (&(height, width), &count) in shape.levels.iter().zip(&shape.points) {
            let level = Level { shape, height, width, start, head };
            for _ in 0..count {
                if taps.count + 4 > TAPS {
                    // SAFETY: the caller's promise.
                    unsafe { taps.add::<V>(value, out) };
                }
                match points {
                    Points::Between(at) => level.between([at[2 * point], at[2 * point + 1]], weights[point], &mut taps),
                    Points::At(pixels) => {
                        let [x, y] = pixels[point];
                        let at = level.pixel((x as usize).min(width - 1), (y as usize).min(height - 1));
                        taps.push(at, weights[point]);
                    }
                }
                point += 1;
            }
            start += height * width;
        }
        // SAFETY: the caller's promise.
        unsafe { taps.add::<V>(value, out) };
    }
}

/// One level of one image as one head sees it.
struct Level<'a> {
    shape: &'a Deformable,
    height: usize,
    width: usize,
    start: usize,
    head: usize,
}

impl Level<'_> {
    /// Where a pixel's first channel is.
    #[inline(always)]
    fn pixel(&self, x: usize, y: usize) -> usize {
        ((self.start + y * self.width + x) * self.shape.heads + self.head) * self.shape.channels
    }

    /// The four pixels around a location, those of them that are inside.
    #[inline(always)]
    fn between(&self, [x, y]: [f32; 2], weight: f32, taps: &mut Taps) {
        let (x, y) = (x * self.width as f32 - 0.5, y * self.height as f32 - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (right, below) = (x - left, y - top);
        if right.is_nan() || below.is_nan() {
            return taps.push(self.pixel(0, 0), f32::NAN);
        }
        // Whole numbers so large that they saturate are outside, as is the one that wraps around behind them.
        let (column, row) = (left as i32, top as i32);
        for (y, part) in [(row, (1.0 - below) * weight), (row.wrapping_add(1), below * weight)] {
            for (x, share) in [(column, 1.0 - right), (column.wrapping_add(1), right)] {
                let (x, y) = (x.cast_unsigned() as usize, y.cast_unsigned() as usize);
                if x < self.width && y < self.height {
                    taps.push(self.pixel(x, y), share * part);
                }
            }
        }
    }
}

/// Weighted sum of bilinear samples, zeros outside (`grid_sample` with `align_corners=False`).
///
/// # Panics
/// If the slices are not of the sizes that `shape` says, or a level has no pixels.
pub fn sample_bilinear(shape: &Deformable, value: &[f32], locations: &[f32], weights: &[f32]) -> Vec<f32> {
    shape.check(value, locations.len() / 2, weights);
    shape.sample(value, Points::Between(locations), weights)
}

/// Weighted sum of the nearest pixels, clamped to the border: `trunc(location × size + 0.5)`, both coordinates clamped to
/// 0 … height − 1 as the official code does ("FIX ME? for rectangle input"), x to the width as well so that it stays inside.
///
/// # Panics
/// If the slices are not of the sizes that `shape` says, or a level has no pixels.
pub fn sample_discrete(shape: &Deformable, value: &[f32], pixels: &[[u32; 2]], weights: &[f32]) -> Vec<f32> {
    shape.check(value, pixels.len(), weights);
    shape.sample(value, Points::At(pixels), weights)
}

impl Deformable {
    /// Where points lie, relative to the image: `offset · scale · size + centre`, each rounded. `offsets` are in the order of the
    /// result, `scales` one for each point of a head, `boxes` one for each query as cx, cy, w, h.
    ///
    /// # Panics
    /// If the slices are not of the sizes that the shapes say.
    pub fn locations(&self, offsets: &[f32], scales: &[f32], boxes: &[f32]) -> Vec<f32> {
        let (queries, points) = (self.batch * self.queries, self.total_points());
        let row = 2 * self.heads * points;
        assert_eq!(
            (offsets.len(), scales.len(), boxes.len()),
            (queries * row, points, 4 * queries),
            "offsets and boxes"
        );
        fill(queries, row, |query, out| {
            let &[x, y, width, height] = &boxes[4 * query..][..4] else { return };
            let offsets = offsets[query * row..][..row].chunks_exact(2).zip(scales.iter().cycle());
            for (to, (offset, scale)) in out.chunks_exact_mut(2).zip(offsets) {
                to[0] = offset[0] * scale * width + x;
                to[1] = offset[1] * scale * height + y;
            }
        })
    }

    /// The pixel that discrete sampling reads for each location.
    ///
    /// # Panics
    /// If there are not as many locations as points.
    pub fn nearest(&self, locations: &[f32]) -> Nearest {
        let points = self.total_points();
        assert_eq!(locations.len(), 2 * self.batch * self.queries * self.heads * points, "locations");
        let sizes: Vec<(usize, usize)> =
            self.levels.iter().zip(&self.points).flat_map(|(&size, &count)| std::iter::repeat_n(size, count)).collect();
        let round = |location: f32, size: usize, largest: usize| {
            // `as` saturates and truncates toward zero, as PyTorch's `.to(int64)` does for values in range.
            ((location * size as f32 + 0.5) as i64).clamp(0, largest as i64) as u32
        };
        locations
            .chunks_exact(2)
            .enumerate()
            .map(|(index, location)| {
                let (height, width) = sizes[index % points];
                [round(location[0], width, (height - 1).min(width - 1)), round(location[1], height, height - 1)]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
