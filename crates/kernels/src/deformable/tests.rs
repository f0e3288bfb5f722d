use proptest::prelude::*;

use super::*;

/// The definition, one number of the result at a time.
fn reference(shape: &Deformable, value: &[f32], points: Points<'_>, weights: &[f32]) -> Vec<f64> {
    let mut out = Vec::new();
    for place in 0..shape.batch * shape.queries * shape.heads * shape.channels {
        let (row, channel) = (place / shape.channels, place % shape.channels);
        let (image, head) = (row / shape.heads / shape.queries, row % shape.heads);
        let (mut sum, mut start, mut point) = (0.0, image * shape.tokens(), row * shape.total_points());
        for (&(height, width), &count) in shape.levels.iter().zip(&shape.points) {
            let read = |x: f64, y: f64| {
                let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
                let token = || start + y as usize * width + x as usize;
                let at = || (token() * shape.heads + head) * shape.channels + channel;
                if inside { f64::from(value[at()]) } else { 0.0 }
            };
            for _ in 0..count {
                let sample = match points {
                    Points::At(pixels) => read(pixels[point][0].into(), pixels[point][1].into()),
                    Points::Between(at) => {
                        // As in single precision, so that both find the same pixels.
                        let x = f64::from(at[2 * point] * width as f32 - 0.5);
                        let y = f64::from(at[2 * point + 1] * height as f32 - 0.5);
                        let (fx, fy) = (x - x.floor(), y - y.floor());
                        let line = |y: f64| read(x.floor(), y) * (1.0 - fx) + read(x.floor() + 1.0, y) * fx;
                        line(y.floor()) * (1.0 - fy) + line(y.floor() + 1.0) * fy
                    }
                };
                sum += f64::from(weights[point]) * sample;
                point += 1;
            }
            start += height * width;
        }
        out.push(sum);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn equals_the_definition(
        (batch, queries, heads, channels) in (1usize..3, 1usize..6, 1usize..4, 1usize..70),
        levels in prop::collection::vec(((1usize..9, 1usize..9), 0usize..24), 1..4),
        seed in any::<u32>(),
    ) {
        let (levels, points) = levels.into_iter().unzip();
        let shape = Deformable { batch, queries, heads, channels, levels, points };
        let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(0x85eb_ca6b) >> 8;
        let numbers = |count: usize, from: f32, to: f32| -> Vec<f32> {
            (0..count).map(|i| from + (to - from) * hash(i + count) as f32 / (1 << 24) as f32).collect()
        };
        let rows = batch * queries * heads * shape.total_points();
        let value = numbers(batch * shape.tokens() * heads * channels, -1.0, 1.0);
        let (weights, locations) = (numbers(rows, 0.0, 0.2), numbers(2 * rows, -0.3, 1.3));
        let same = |got: Vec<f32>, points: Points<'_>| {
            let want = reference(&shape, &value, points, &weights);
            got.len() == want.len() && got.iter().zip(want).all(|(got, want)| (f64::from(*got) - want).abs() < 1e-4)
        };
        prop_assert!(same(sample_bilinear(&shape, &value, &locations, &weights), Points::Between(&locations)));
        let pixels = shape.nearest(&locations);
        prop_assert!(same(sample_discrete(&shape, &value, &pixels, &weights), Points::At(&pixels)));
    }
}

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
    let shape =
        Deformable { batch: 2, queries: 2, heads: 2, channels: 1, levels: vec![(1, 2), (1, 1)], points: vec![1, 1] };
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

#[test]
fn locations_are_offsets_from_the_centre_in_parts_of_the_box() {
    let shape = Deformable { batch: 1, queries: 2, heads: 2, channels: 1, levels: vec![(1, 1); 2], points: vec![1, 1] };
    let offsets: Vec<f32> = (0..16).map(|i| i as f32).collect();
    let boxes = [0.5, 0.25, 2.0, 4.0, 0.0, 1.0, 8.0, 16.0];
    let got = shape.locations(&offsets, &[0.5, 2.0], &boxes);
    let first = [0.5, 2.25, 8.5, 24.25, 4.5, 10.25, 24.5, 56.25];
    let second = [32.0, 73.0, 160.0, 353.0, 48.0, 105.0, 224.0, 481.0];
    assert_eq!(got, [first, second].concat());
}
