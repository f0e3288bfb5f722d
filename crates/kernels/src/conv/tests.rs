use proptest::prelude::*;

use super::*;

/// Numbers in −1 … 1 that follow from a seed.
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn check(shape: ConvShape, batch: usize, size: [usize; 2], bias: bool, residual: bool, act: Act, seed: u32) {
    let weight = numbers(seed + 1, shape.output * shape.input * shape.taps());
    let bias = bias.then(|| numbers(seed + 2, shape.output));
    let data = numbers(seed, batch * size[0] * size[1] * shape.input);
    let x = Images { data: &data, batch, size };
    let [height, width] = shape.over(size);
    let residual = residual.then(|| numbers(seed + 3, batch * height * width * shape.output));
    let order = if seed.is_multiple_of(2) { Order::AddFirst } else { Order::ActFirst };
    let last = Last { act, residual: residual.as_deref(), order, coarse: None };
    let want = Conv::reference(shape, &weight, bias.as_deref(), x, last);
    for (algorithm, bound) in [(Algorithm::Direct, 1e-6), (Algorithm::Winograd, 4e-6)] {
        let got = Conv::new(shape, &weight, bias.as_deref(), algorithm).forward(x, last);
        assert_eq!(got.len(), want.len());
        let bound = bound * (4.0 + (shape.input * shape.taps()) as f32);
        for (index, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!(
                (got - want).abs() <= bound,
                "{algorithm:?} {shape:?} {batch}x{size:?} at {index}: {got}, not {want}"
            );
        }
    }
}

#[test]
fn layers_of_real_networks() {
    let same = |input, output, kernel: usize, stride| ConvShape {
        input,
        output,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [(kernel - 1) / 2; 4],
    };
    for (shape, size) in [
        (same(3, 32, 3, 2), [32, 40]),
        (same(64, 64, 3, 1), [10, 11]),
        (same(512, 80, 1, 1), [5, 5]),
        (same(128, 256, 3, 2), [9, 8]),
        (same(600, 20, 1, 1), [4, 4]),
    ] {
        check(shape, 2, size, true, true, Act::Relu, 7);
        check(shape, 1, size, true, false, Act::Silu, 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn any_shape(
        (input, output) in (1usize..40, 1usize..150),
        kernel in prop::array::uniform2(1usize..5),
        stride in prop::array::uniform2(1usize..4),
        padding in prop::array::uniform4(0usize..4),
        (batch, size) in (1usize..3, prop::array::uniform2(1usize..15)),
        (bias, residual) in (any::<bool>(), any::<bool>()),
        act in prop::sample::select(vec![Act::None, Act::Relu, Act::Silu, Act::Gelu]),
        seed in 0u32..1000,
    ) {
        check(ConvShape { input, output, kernel, stride, padding }, batch, size, bias, residual, act, seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_shape_that_winograd_takes(
        (input, output) in (1usize..5, 1usize..7),
        padding in prop::array::uniform4(0usize..4),
        (batch, size) in (1usize..3, prop::array::uniform2(1usize..20)),
        (bias, residual) in (any::<bool>(), any::<bool>()),
        act in prop::sample::select(vec![Act::None, Act::Relu, Act::Silu, Act::Gelu]),
        seed in 0u32..1000,
    ) {
        let shape = ConvShape { input: 16 * input, output: 16 * output, kernel: [3; 2], stride: [1; 2], padding };
        check(shape, batch, size, bias, residual, act, seed);
    }
}

/// Channels `from … to` of an image.
fn channels_of(data: &[f32], all: usize, from: usize, to: usize) -> Vec<f32> {
    data.chunks(all).flat_map(|pixel| pixel[from..to].to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn parts_are_one_image_and_a_coarse_map_starts_the_sums(
        parts in prop::collection::vec(1usize..40, 1..5),
        alike in any::<bool>(),
        output in 1usize..150,
        (kernel, stride) in (1usize..4, 1usize..3),
        (batch, half) in (1usize..3, prop::array::uniform2(1usize..6)),
        (coarse, residual) in (any::<bool>(), any::<bool>()),
        act in prop::sample::select(vec![Act::None, Act::Relu, Act::Silu]),
        seed in 0u32..1000,
    ) {
        let parts: Vec<usize> = if alike { vec![parts[0]; parts.len()] } else { parts };
        let input = parts.iter().sum();
        // An image whose result has an even size, twice the coarse map's.
        let size = half.map(|half| (2 * half - 1) * stride + 1);
        let padding = [kernel / 2, kernel / 2, (kernel - 1) / 2, (kernel - 1) / 2];
        let shape = ConvShape { input, output, kernel: [kernel; 2], stride: [stride; 2], padding };
        prop_assert_eq!(shape.over(size), half.map(|half| 2 * half));
        let data = numbers(seed, batch * size[0] * size[1] * input);
        let weight = numbers(seed + 1, output * input * shape.taps());
        let bias = numbers(seed + 2, output);
        let numel = batch * 4 * half[0] * half[1] * output;
        let coarse = coarse.then(|| numbers(seed + 3, numel / 4));
        let residual = residual.then(|| numbers(seed + 4, numel));
        let last = Last { act, residual: residual.as_deref(), coarse: coarse.as_deref(), order: Order::ActFirst };
        let want = Conv::reference(shape, &weight, Some(&bias), Images { data: &data, batch, size }, last);
        let mut first = 0;
        let pieces: Vec<(Vec<f32>, usize)> = parts
            .iter()
            .map(|&channels| {
                first += channels;
                (channels_of(&data, input, first - channels, first), channels)
            })
            .collect();
        let images: Vec<(Images<'_>, usize)> =
            pieces.iter().map(|(data, channels)| (Images { data, batch, size }, *channels)).collect();
        for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
            let conv = Conv::new(shape, &weight, Some(&bias), algorithm);
            if conv.is_winograd() && coarse.is_some() {
                continue;
            }
            let bound = 4e-6 * (4.0 + (input * shape.taps()) as f32);
            let got = conv.forward_parts(&images, last);
            prop_assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(&want) {
                prop_assert!((got - want).abs() <= bound, "{:?} {:?} {:?}: {}, not {}", algorithm, shape, parts, got, want);
            }
        }
    }
}

#[test]
fn what_is_no_number_is_carried_and_stays_where_it_is() {
    let shape = ConvShape { input: 2, output: 3, kernel: [1; 2], stride: [1; 2], padding: [0; 4] };
    let conv = Conv::new(shape, &[1.0; 6], None, Algorithm::Auto);
    let y = conv.rows(
        &[f32::NAN, 1.0, f32::INFINITY, 1.0, f32::NEG_INFINITY, 1.0, 2.0, 1.0],
        Last { act: Act::Relu, ..Last::default() },
    );
    assert!(y[..3].iter().all(|y| y.is_nan()));
    assert_eq!(y[3..], [f32::INFINITY, f32::INFINITY, f32::INFINITY, 0.0, 0.0, 0.0, 3.0, 3.0, 3.0]);
}

#[test]
fn nothing_gives_nothing() {
    let shape = ConvShape { input: 2, output: 3, kernel: [3; 2], stride: [1; 2], padding: [0; 4] };
    let conv = Conv::new(shape, &[1.0; 54], None, Algorithm::Auto);
    assert!(conv.forward(Images { data: &[0.0; 8], batch: 1, size: [2, 2] }, Last::default()).is_empty());
    assert!(conv.rows(&[], Last::default()).is_empty());
}
