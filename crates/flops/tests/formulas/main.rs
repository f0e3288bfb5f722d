//! The formulas of `full` against plain implementations over a number that counts what is done to it.
//!
//! The implementations loop over shapes and know no formula; what they execute is counted number by number, and has to be
//! what the formula says of the facts of the same operation.

mod array;
mod graphs;
mod number;
mod rows;
mod sampling;
mod window;

use array::Array;
use detrace_flops::{Attrs, CustomOps, Kind, Meta, Op, Param, SCHEMA, Trace, conventions, count};
use number::{Number, Tally, tally};
use proptest::prelude::*;
use sampling::Sampling;
use window::Window;

/// Facts of an operation with a module (`role` empty) or without.
fn op(kind: Kind, role: &str, inputs: &[&[usize]], output: &[usize]) -> Op {
    let path = if role.is_empty() { "module".into() } else { format!("block#{role}") };
    Op::new(path, kind, role, inputs.iter().map(|shape| shape.to_vec()).collect(), output.to_vec())
}

/// MACs and FLOPs that `full` gives operations together.
fn full(ops: &[Op]) -> (u64, u64) {
    let trace = Trace { schema: SCHEMA, meta: Meta::default(), ops: ops.to_vec(), ..Trace::default() };
    trace.check().expect("facts are whole");
    let count = count(&trace, &conventions::FULL, &CustomOps::new()).expect("counts");
    assert!(count.audit.unknown.is_empty(), "{:?}", count.audit.unknown);
    (count.macs, count.flops)
}

/// What a plain implementation executed, as MACs and FLOPs.
fn executed(tally: &Tally) -> (u64, u64) {
    (tally.accumulated, tally.flops())
}

fn params(named: &[(&str, &Array)]) -> Vec<Param> {
    named.iter().map(|(name, array)| Param::named(name, array.shape())).collect()
}

fn image() -> impl Strategy<Value = [usize; 4]> {
    [1..3usize, 1..4usize, 1..8usize, 1..8usize]
}

fn windows() -> impl Strategy<Value = Window> {
    ([1..4usize, 1..4usize], [1..4usize, 1..4usize], [0..3usize, 0..3usize, 0..3usize, 0..3usize], any::<bool>())
        .prop_map(|(kernel, stride, padding, ceil)| Window { kernel, stride, padding, ceil })
}

fn attrs(window: Window, groups: Option<usize>) -> Attrs {
    let Window { kernel, stride, padding, .. } = window;
    Attrs { kernel: Some(kernel), stride: Some(stride), padding: Some(padding), groups, frozen: false }
}

fn samplings() -> impl Strategy<Value = Sampling> {
    let level = ((1..5usize, 1..5usize), 1..4usize);
    ([1..3usize, 1..4usize, 1..3usize, 1..4usize], prop::collection::vec(level, 1..4)).prop_map(
        |([batch, queries, heads, channels], levels)| {
            let (levels, points) = levels.into_iter().unzip();
            Sampling { batch, queries, heads, channels, levels, points }
        },
    )
}

proptest! {
    #[test]
    fn conv2d(
        [batch, _, height, width] in image(),
        window in windows(),
        groups in 1..4usize,
        per_group in [1..4usize, 1..4usize],
        bias in any::<bool>(),
    ) {
        let window = Window { ceil: false, ..window };
        prop_assume!(window.fits(height, width));
        let [ins, outs] = per_group.map(|channels| channels * groups);
        let x = Array::varied(&[batch, ins, height, width]);
        let weight = Array::varied(&[outs, ins / groups, window.kernel[0], window.kernel[1]]);
        let bias = bias.then(|| Array::varied(&[outs]));
        let (y, tally) = tally(|| window::conv2d(&x, &weight, bias.as_ref(), window, groups));
        let mut facts = op(Kind::Conv2d, "", &[x.shape()], y.shape());
        facts.params = params(&[("weight", &weight)]);
        facts.params.extend(bias.iter().map(|bias| Param::named("bias", bias.shape())));
        facts.attrs = attrs(window, Some(groups));
        prop_assert_eq!(full(&[facts]), executed(&tally));
        prop_assert_eq!(tally.muls, tally.accumulated);
    }

    #[test]
    fn linear(rows in prop::collection::vec(1..5usize, 0..3), ins in 1..9usize, outs in 1..9usize, bias in any::<bool>()) {
        let x = Array::varied(&[rows.as_slice(), &[ins]].concat());
        let weight = Array::varied(&[outs, ins]);
        let bias = bias.then(|| Array::varied(&[outs]));
        let (y, tally) = tally(|| rows::linear(&x, &weight, bias.as_ref()));
        let mut facts = op(Kind::Linear, "", &[x.shape()], y.shape());
        facts.params = params(&[("weight", &weight)]);
        facts.params.extend(bias.iter().map(|bias| Param::named("bias", bias.shape())));
        prop_assert_eq!(full(&[facts]), executed(&tally));
    }

    #[test]
    fn attention(
        batch in 1..3usize,
        heads in 1..4usize,
        [queries, keys, dim, value_dim] in [1..6usize, 1..6usize, 1..6usize, 1..6usize],
    ) {
        let q = Array::varied(&[batch, heads, queries, dim]);
        let k = Array::varied(&[batch, heads, keys, dim]);
        let v = Array::varied(&[batch, heads, keys, value_dim]);
        let ((scaled, scores, weights, mixed), tally) = tally(|| {
            let scale = Number::from(0.5);
            let scaled = q.map(|number| number * scale);
            let scores = rows::scores(&scaled, &k);
            let weights = rows::softmax(&scores);
            let mixed = rows::mix(&weights, &v);
            (scaled, scores, weights, mixed)
        });
        let transposed = [batch, heads, dim, keys];
        let facts = [
            op(Kind::Mul, "scale", &[q.shape()], scaled.shape()),
            op(Kind::Matmul, "scores", &[scaled.shape(), &transposed], scores.shape()),
            op(Kind::Softmax, "softmax", &[scores.shape()], weights.shape()),
            op(Kind::Matmul, "mix", &[weights.shape(), v.shape()], mixed.shape()),
        ];
        prop_assert_eq!(full(&facts), executed(&tally));
    }

    #[test]
    fn softmax(rows in 1..6usize, columns in 1..9usize) {
        let x = Array::varied(&[rows, columns]);
        let (y, tally) = tally(|| rows::softmax(&x));
        prop_assert_eq!(full(&[op(Kind::Softmax, "softmax", &[x.shape()], y.shape())]), executed(&tally));
    }

    #[test]
    fn layer_norm(rows in 1..6usize, columns in 1..9usize) {
        let x = Array::varied(&[rows, columns]);
        let (weight, bias) = (Array::varied(&[columns]), Array::varied(&[columns]));
        let (y, tally) = tally(|| rows::layer_norm(&x, &weight, &bias));
        let mut facts = op(Kind::LayerNorm, "", &[x.shape()], y.shape());
        facts.params = params(&[("weight", &weight), ("bias", &bias)]);
        let (macs, flops) = full(&[facts]);
        prop_assert_eq!(flops, tally.flops());
        // The squares of the variance are accumulated, but of one number each: they are no MACs.
        prop_assert_eq!((macs, tally.accumulated), (0, (rows * columns) as u64));
    }

    #[test]
    fn batch_norm(shape in image()) {
        let x = Array::varied(&shape);
        let (scale, shift) = (Array::varied(&shape[1..2]), Array::varied(&shape[1..2]));
        let (y, tally) = tally(|| rows::batch_norm(&x, &scale, &shift));
        prop_assert_eq!(full(&[op(Kind::BatchNorm, "", &[x.shape()], y.shape())]), executed(&tally));
    }

    #[test]
    fn pools([batch, channels, height, width] in image(), window in windows()) {
        // A pool's padding is at most half its window, so that every window sees the image.
        let [kernel_height, kernel_width] = window.kernel;
        let [top, left, bottom, right] = window.padding;
        let padding = [
            top.min(kernel_height / 2),
            left.min(kernel_width / 2),
            bottom.min(kernel_height / 2),
            right.min(kernel_width / 2),
        ];
        let window = Window { padding, ..window };
        prop_assume!(window.fits(height, width));
        let x = Array::varied(&[batch, channels, height, width]);
        for (kind, pool) in [
            (Kind::MaxPool2d, window::max_pool2d as fn(&Array, Window) -> Array),
            (Kind::AvgPool2d, window::avg_pool2d),
        ] {
            let (y, tally) = tally(|| pool(&x, window));
            let mut facts = op(kind, "", &[x.shape()], y.shape());
            facts.attrs = attrs(window, None);
            prop_assert_eq!(full(&[facts]), executed(&tally));
        }
    }

    #[test]
    fn deformable_sampling(shape in samplings(), discrete in any::<bool>()) {
        let weights = Array::varied(&shape.weights());
        let grid = [shape.weights().as_slice(), &[2]].concat();
        let locations = Array::varied(&grid);
        let value = Array::varied(&[shape.batch, shape.tokens(), shape.heads, shape.channels]);
        // Only how a sample is read differs; discrete sampling copies a pixel, which is no arithmetic.
        let ((sampled, mixed), tally) = tally(|| {
            let sampled = if discrete {
                Array::varied(&[shape.weights().as_slice(), &[shape.channels]].concat())
            } else {
                sampling::bilinear(&shape, &value, &locations)
            };
            let mixed = sampling::weighted_sum(&sampled, &weights);
            (sampled, mixed)
        });
        let tokens = [shape.batch, shape.tokens(), shape.heads * shape.channels];
        let kind = if discrete { Kind::Gather } else { Kind::GridSample };
        let facts = [
            op(kind, "sampling", &[&tokens, &grid], sampled.shape()),
            op(Kind::Mul, "weight", &[sampled.shape(), weights.shape()], sampled.shape()),
            op(Kind::Add, "sum", &[sampled.shape()], mixed.shape()),
        ];
        prop_assert_eq!(full(&facts), executed(&tally));
    }

    #[test]
    fn functions(shape in image()) {
        let x = Array::varied(&shape);
        for (kind, role, function) in [
            (Kind::Relu, "", rows::relu as fn(Number) -> Number),
            (Kind::Sigmoid, "reference", rows::sigmoid),
            (Kind::Sigmoid, "inverse_sigmoid", rows::inverse_sigmoid),
            (Kind::Silu, "", rows::silu),
            (Kind::Gelu, "", rows::gelu),
        ] {
            let (y, tally) = tally(|| x.map(function));
            prop_assert_eq!(full(&[op(kind.clone(), role, &[x.shape()], y.shape())]), executed(&tally), "{} {}", kind, role);
        }
    }

    #[test]
    fn broadcasts(rows in 1..6usize, columns in 1..6usize) {
        let table = Array::varied(&[rows, columns]);
        let row = Array::varied(&[columns]);
        for (kind, apply) in [
            (Kind::Add, (|a, b| a + b) as fn(Number, Number) -> Number),
            (Kind::Sub, |a, b| a - b),
            (Kind::Mul, |a, b| a * b),
            (Kind::Div, |a, b| a / b),
        ] {
            let (y, tally) = tally(|| table.beside(&row, apply));
            // The smaller operand comes first, so that the result's size is not that of the first input.
            let facts = op(kind, "residual", &[row.shape(), table.shape()], y.shape());
            prop_assert_eq!(full(&[facts]), executed(&tally));
        }
    }

    #[test]
    fn largest(rows in 1..6usize, columns in 1..9usize, k in 1..9usize) {
        let x = Array::varied(&[rows, columns]);
        let (y, tally_max) = tally(|| rows::max_last(&x));
        prop_assert_eq!(full(&[op(Kind::TopK, "class_max", &[x.shape()], y.shape())]), executed(&tally_max));
        let (y, tally_top) = tally(|| rows::top_k(&x, k.min(columns)));
        let (macs, flops) = full(&[op(Kind::TopK, "top_k", &[x.shape()], y.shape())]);
        prop_assert!(macs == 0 && flops <= tally_top.flops(), "a lower bound");
    }

    #[test]
    fn tables(height in 1..6usize, width in 1..6usize, frequencies in 1..5usize) {
        let frequencies: Vec<Number> = (0..frequencies).map(|at| Number::from(1.0 / (1.0 + at as f64))).collect();
        let (y, tally_sines) = tally(|| sampling::position_embedding(height, width, &frequencies));
        prop_assert_eq!(full(&[op(Kind::Embedding, "pos_embed", &[], y.shape())]), executed(&tally_sines));
        let (y, tally_anchors) = tally(|| sampling::anchors(height, width));
        prop_assert_eq!(full(&[op(Kind::Embedding, "anchors", &[], y.shape())]), executed(&tally_anchors));
    }
}

/// The loops compute what they are named for.
#[test]
fn plain_implementations_are_right() {
    let close = |got: &Array, want: &[f64]| {
        let got = got.values();
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{got:?}, not {want:?}");
    };
    let x = Array::from_values(&[1, 2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let window = |kernel, stride, padding, ceil| Window { kernel: [kernel; 2], stride: [stride; 2], padding, ceil };
    // Each group its own channel; a row above and a column to the left are zero.
    let weight = Array::from_values(&[2, 1, 2, 2], &[1.0, 10.0, 100.0, 1000.0, 1.0, 1.0, 1.0, 1.0]);
    let bias = Array::from_values(&[2], &[0.0, 0.5]);
    let y = window::conv2d(&x, &weight, Some(&bias), window(2, 1, [1, 1, 0, 0], false), 2);
    close(&y, &[1000.0, 2100.0, 3010.0, 4321.0, 5.5, 11.5, 12.5, 26.5]);
    let one = Array::from_values(&[1, 1, 1, 3], &[-1.0, -2.0, -4.0]);
    close(&window::max_pool2d(&one, window(2, 2, [1, 0, 0, 0], true)), &[-1.0, -4.0]);
    close(&window::avg_pool2d(&one, window(2, 2, [1, 0, 0, 0], true)), &[-1.5, -4.0]);

    let row = Array::from_values(&[1, 2], &[1.0, 3.0]);
    let weight = Array::from_values(&[1, 2], &[2.0, 5.0]);
    close(&rows::linear(&row, &weight, Some(&Array::from_values(&[1], &[0.5]))), &[17.5]);
    close(&rows::softmax(&row), &[0.11920292, 0.88079708]);
    let (scale, shift) = (Array::from_values(&[2], &[1.0, 2.0]), Array::from_values(&[2], &[0.0, 1.0]));
    let normed: f64 = 1.0 / 1.00001f64.sqrt();
    close(&rows::layer_norm(&row, &scale, &shift), &[-normed, 2.0 * normed + 1.0]);
    let q = Array::from_values(&[1, 1, 1, 2], &[1.0, 2.0]);
    let k = Array::from_values(&[1, 1, 2, 2], &[3.0, 4.0, 5.0, 6.0]);
    close(&rows::scores(&q, &k), &[11.0, 17.0]);
    close(&rows::mix(&q, &k), &[13.0, 16.0]);
    let at = |function: fn(Number) -> Number, x: f64| function(x.into()).value();
    for (function, x, want) in [
        (rows::sigmoid as fn(Number) -> Number, 0.5, 0.62245933),
        (rows::inverse_sigmoid, 0.62245933, 0.5),
        (rows::silu, 2.0, 1.76159416),
        (rows::gelu, 2.0, 1.95449974),
    ] {
        assert!((at(function, x) - want).abs() < 1e-6, "{} of {x}", at(function, x));
    }

    let shape =
        Sampling { batch: 1, queries: 1, heads: 1, channels: 1, levels: vec![(1, 1), (2, 2)], points: vec![1, 1] };
    let value = Array::from_values(&[1, 5, 1, 1], &[8.0, 1.0, 2.0, 3.0, 4.0]);
    let locations = Array::from_values(&[1, 1, 1, 2, 2], &[0.0, 0.5, 0.5, 0.25]);
    let sampled = sampling::bilinear(&shape, &value, &locations);
    close(&sampled, &[4.0, 1.5]);
    close(&sampling::weighted_sum(&sampled, &Array::from_values(&[1, 1, 1, 2], &[10.0, 1.0])), &[41.5]);
}
