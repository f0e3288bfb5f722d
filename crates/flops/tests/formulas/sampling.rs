//! Deformable sampling (Zhu et al. 2021, equation 3) and the tables of positions, as plain loops.

use crate::array::Array;
use crate::number::Number;

/// Shapes of one sampling.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    pub(crate) batch: usize,
    pub(crate) queries: usize,
    pub(crate) heads: usize,
    pub(crate) channels: usize,
    /// Height and width of each level.
    pub(crate) levels: Vec<(usize, usize)>,
    /// Points per head on each level.
    pub(crate) points: Vec<usize>,
}

impl Sampling {
    pub(crate) fn tokens(&self) -> usize {
        self.levels.iter().map(|(height, width)| height * width).sum()
    }

    /// N, Q, heads, points over all levels.
    pub(crate) fn weights(&self) -> Vec<usize> {
        vec![self.batch, self.queries, self.heads, self.points.iter().sum()]
    }

    /// Height, width and first token of the level of each point.
    fn level_of_points(&self) -> Vec<(usize, usize, usize)> {
        let mut start = 0;
        let mut of_points = Vec::new();
        for (&(height, width), &points) in self.levels.iter().zip(&self.points) {
            of_points.extend(std::iter::repeat_n((height, width, start), points));
            start += height * width;
        }
        of_points
    }
}

/// Bilinear samples, zeros outside the level. `value`: N, L, heads, C; `locations`: N, Q, heads, points, 2 (x, y, relative
/// to the level); result: N, Q, heads, points, C.
pub(crate) fn bilinear(shape: &Sampling, value: &Array, locations: &Array) -> Array {
    let points = shape.level_of_points();
    let mut sampled =
        Array::filled(&[shape.batch, shape.queries, shape.heads, points.len(), shape.channels], Number::ZERO);
    let (one, half) = (Number::from(1.0), Number::from(0.5));
    for n in 0..shape.batch {
        for query in 0..shape.queries {
            for head in 0..shape.heads {
                for (point, &(height, width, start)) in points.iter().enumerate() {
                    let x = locations.get([n, query, head, point, 0]) * Number::from(width as f64) - half;
                    let y = locations.get([n, query, head, point, 1]) * Number::from(height as f64) - half;
                    let (left, top) = (x.floor(), y.floor());
                    let (right_part, bottom_part) = (x - left, y - top);
                    let (left_part, top_part) = (one - right_part, one - bottom_part);
                    let corners = [
                        (0, 0, left_part * top_part),
                        (1, 0, right_part * top_part),
                        (0, 1, left_part * bottom_part),
                        (1, 1, right_part * bottom_part),
                    ];
                    // Which token a corner is, is arithmetic on addresses.
                    let (left, top) = (left.value() as i64, top.value() as i64);
                    for channel in 0..shape.channels {
                        let mut sum = Number::ZERO;
                        for (right, down, part) in corners {
                            let (column, row) = (left + right, top + down);
                            let inside = (0..width as i64).contains(&column) && (0..height as i64).contains(&row);
                            let pixel = if inside {
                                let token = start + row as usize * width + column as usize;
                                value.get([n, token, head, channel])
                            } else {
                                Number::ZERO
                            };
                            sum += pixel * part;
                        }
                        sampled.set([n, query, head, point, channel], sum);
                    }
                }
            }
        }
    }
    sampled
}

/// Samples added up by weight. `sampled`: N, Q, heads, points, C; `weights`: N, Q, heads, points; result: N, Q, heads × C.
pub(crate) fn weighted_sum(sampled: &Array, weights: &Array) -> Array {
    let &[batch, queries, heads, points, channels] = sampled.shape() else { panic!("samples have five dimensions") };
    let mut mixed = Array::filled(&[batch, queries, heads * channels], Number::ZERO);
    for n in 0..batch {
        for query in 0..queries {
            for head in 0..heads {
                for channel in 0..channels {
                    let mut sum = Number::ZERO;
                    for point in 0..points {
                        sum += sampled.get([n, query, head, point, channel]) * weights.get([n, query, head, point]);
                    }
                    mixed.set([n, query, head * channels + channel], sum);
                }
            }
        }
    }
    mixed
}

/// Sines and cosines of every position of a map: 1, H·W, 4 × frequencies. The frequencies are constants.
pub(crate) fn position_embedding(height: usize, width: usize, frequencies: &[Number]) -> Array {
    let shape = [1, height * width, 4 * frequencies.len()];
    let token = |at: usize| {
        let mut row = Vec::new();
        for position in [at / height, at % height] {
            let angles: Vec<Number> =
                frequencies.iter().map(|&frequency| Number::from(position as f64) * frequency).collect();
            row.extend(angles.iter().map(|angle| angle.sin()));
            row.extend(angles.iter().map(|angle| angle.cos()));
        }
        row
    };
    Array::from_rows(&shape, (0..height * width).map(token))
}

/// An anchor per token as logits, infinite where it touches the border: 1, H·W, 4. Sides and bounds are constants.
pub(crate) fn anchors(height: usize, width: usize) -> Array {
    let (one, half, side) = (Number::from(1.0), Number::from(0.5), Number::from(0.05));
    let (least, most) = (Number::from(0.01), Number::from(0.99));
    let token = |at: usize| {
        let centre = |position: usize, size: usize| (Number::from(position as f64) + half) / Number::from(size as f64);
        let anchor = [centre(at % width, width), centre(at / width, height), side, side];
        let inside: Vec<bool> = anchor.iter().map(|&value| value.greater(least) & most.greater(value)).collect();
        let logits = anchor.map(|value| (value / (one - value)).ln());
        if inside.contains(&false) { vec![Number::from(f64::INFINITY); 4] } else { logits.to_vec() }
    };
    Array::from_rows(&[1, height * width, 4], (0..height * width).map(token))
}
