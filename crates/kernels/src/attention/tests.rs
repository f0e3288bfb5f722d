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
