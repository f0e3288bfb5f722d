//! Multi-scale deformable sampling (Deformable DETR, Zhu et al. 2021, equation 3; RT-DETRv2 for the discrete form).

use crate::rows::fill;

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
        assert_eq!((points, weights.len()), (rows, rows), "points and weights");
    }

    /// Calls `add(level, size of the level, start of its tokens, point, weight)` for each point of each head, one output
    /// row of `channels` values at a time.
    fn rows(&self, weights: &[f32], add: impl Fn(&mut [f32], &Level<'_>, usize, f32) + Sync) -> Vec<f32> {
        let points = self.total_points();
        fill(self.batch * self.queries, self.heads * self.channels, |query, output| {
            output.fill(0.0);
            let image = query / self.queries;
            for (head, output) in output.chunks_mut(self.channels).enumerate() {
                let first = (query * self.heads + head) * points;
                let mut point = first;
                let mut start = image * self.tokens();
                for (&(height, width), &count) in self.levels.iter().zip(&self.points) {
                    let level = Level { shape: self, height, width, start, head };
                    for _ in 0..count {
                        add(output, &level, point, weights[point]);
                        point += 1;
                    }
                    start += height * width;
                }
            }
        })
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
    fn pixel<'v>(&self, value: &'v [f32], x: usize, y: usize) -> &'v [f32] {
        let row = (self.start + y * self.width + x) * self.shape.heads + self.head;
        &value[row * self.shape.channels..][..self.shape.channels]
    }
}

/// Weighted sum of bilinear samples, zeros outside (`grid_sample` with `align_corners=False`).
///
/// # Panics
/// If the slices are not of the sizes that `shape` says.
pub fn sample_bilinear(shape: &Deformable, value: &[f32], locations: &[f32], weights: &[f32]) -> Vec<f32> {
    shape.check(value, locations.len() / 2, weights);
    shape.rows(weights, |output, level, point, weight| {
        let x = locations[2 * point] * level.width as f32 - 0.5;
        let y = locations[2 * point + 1] * level.height as f32 - 0.5;
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        for (dx, dy, tap) in [
            (0.0, 0.0, (1.0 - fx) * (1.0 - fy)),
            (1.0, 0.0, fx * (1.0 - fy)),
            (0.0, 1.0, (1.0 - fx) * fy),
            (1.0, 1.0, fx * fy),
        ] {
            let (px, py) = (left + dx, top + dy);
            let inside = px >= 0.0 && py >= 0.0 && px < level.width as f32 && py < level.height as f32;
            if inside {
                let scale = tap * weight;
                let pixel = level.pixel(value, px as usize, py as usize);
                output.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += scale * value);
            } else if tap.is_nan() {
                output.iter_mut().for_each(|sum| *sum = f32::NAN);
            }
        }
    })
}

/// Weighted sum of the nearest pixels, clamped to the border: `trunc(location × size + 0.5)`, both coordinates clamped to
/// 0 … height − 1 as the official code does ("FIX ME? for rectangle input"), x to the width as well so that it stays inside.
///
/// # Panics
/// If the slices are not of the sizes that `shape` says.
pub fn sample_discrete(shape: &Deformable, value: &[f32], pixels: &[[u32; 2]], weights: &[f32]) -> Vec<f32> {
    shape.check(value, pixels.len(), weights);
    shape.rows(weights, |output, level, point, weight| {
        let [x, y] = pixels[point];
        let pixel = level.pixel(value, (x as usize).min(level.width - 1), (y as usize).min(level.height - 1));
        output.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * value);
    })
}

impl Deformable {
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
mod tests {
    use super::*;

    fn one_level(height: usize, width: usize) -> Deformable {
        Deformable { batch: 1, queries: 1, heads: 1, channels: 1, levels: vec![(height, width)], points: vec![1] }
    }

    #[test]
    fn bilinear_reads_centres_edges_and_zeros() {
        let shape = one_level(2, 2);
        let value = [1.0, 2.0, 3.0, 4.0];
        let at = |x: f32, y: f32| sample_bilinear(&shape, &value, &[x, y], &[1.0])[0];
        assert_eq!(at(0.25, 0.25), 1.0, "the centre of the first pixel");
        assert_eq!(at(0.5, 0.5), 2.5, "the middle of all four");
        assert_eq!(at(0.0, 0.0), 0.25, "a corner is three quarters outside");
        assert_eq!(at(9.0, 9.0), 0.0);
        assert!(at(f32::NAN, 0.5).is_nan());
    }

    #[test]
    fn discrete_rounds_half_up_and_clamps() {
        let shape = one_level(2, 2);
        assert_eq!(shape.nearest(&[0.24, 0.26]), [[0, 1]]);
        assert_eq!(shape.nearest(&[-3.0, 7.0]), [[0, 1]]);
        assert_eq!(sample_discrete(&shape, &[1.0, 2.0, 3.0, 4.0], &[[0, 1]], &[0.5]), [1.5]);
    }

    #[test]
    fn levels_heads_queries_and_images_are_told_apart() {
        let shape = Deformable {
            batch: 2,
            queries: 2,
            heads: 2,
            channels: 1,
            levels: vec![(1, 2), (1, 1)],
            points: vec![1, 1],
        };
        // Value = 100 * image + 10 * token + head, so that a sample says where it was read.
        let value: Vec<f32> =
            (0..2).flat_map(|b| (0..3).flat_map(move |t| (0..2).map(move |h| (100 * b + 10 * t + h) as f32))).collect();
        // Query 0 reads token 0 of the first level, query 1 token 1; both then read the second level's only token.
        let pixels: Nearest =
            (0..2).flat_map(|_| (0..2).flat_map(|q| (0..2).flat_map(move |_| [[q, 0], [0, 0]]))).collect();
        let weights: Vec<f32> = (0..8).flat_map(|_| [1.0, 1000.0]).collect();
        let got = sample_discrete(&shape, &value, &pixels, &weights);
        let want: Vec<f32> = (0..2)
            .flat_map(|b| {
                (0..2).flat_map(move |q| {
                    (0..2).map(move |h| (100 * b + 10 * q + h) as f32 + 1000.0 * (100 * b + 20 + h) as f32)
                })
            })
            .collect();
        assert_eq!(got, want);
    }
}
