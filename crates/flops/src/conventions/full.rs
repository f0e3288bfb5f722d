//! Everything that does arithmetic, MACs and FLOPs apart: detrace's own convention.
//!
//! A formula is what a plain implementation with accumulators that start at zero executes; transcendentals, divisions and
//! comparisons are one FLOP each. What lies outside an image is a zero (for a maximum −∞) and computed with like a pixel.
//! Addresses and their bounds are not arithmetic. A MAC multiplies two different numbers and accumulates the product; the
//! squares of a variance are FLOPs only. `out` and `in` are elements of the result and of the first input, `n` the last
//! dimension.
//!
//! | kind | MACs | FLOPs | why |
//! |---|---|---|---|
//! | conv2d | out × cin/groups × kh × kw | 2 MACs (+ out for a bias) | Σ over the window; Dumoulin & Visin 2016, relation 14 for `out` |
//! | linear | out × in features | 2 MACs (+ out for a bias) | one dot product per output |
//! | matmul | out × n of the first operand | 2 MACs | one dot product per output (QKᵀ, AV; Vaswani et al. 2017, eq. 1) |
//! | grid_sample | 4 × out | 8 × out + 14 × points | four bilinear taps per channel (Deformable DETR, Zhu et al. 2021, eq. 3); per point: 4 to pixels, 2 floors, 4 fractions, 4 corner weights |
//! | mul with role `weight` | out | out | the attention-weighted sum over sampled points: its products … |
//! | add with role `sum` | – | in | … and its accumulations |
//! | batch_norm | – | 2 × in | scale and shift, folded from the statistics (Ioffe & Szegedy 2015, section 3.1) |
//! | layer_norm | – | 7 × in + 4 × rows | mean, centre, variance (2), normalise, scale, shift; 2 divisions, ε, 1/√ a row (Ba et al. 2016, eq. 3) |
//! | softmax | – | 5 × in | maximum, subtract, exp, sum, divide |
//! | sigmoid | – | 4 × out | negate, exp, add, divide |
//! | sigmoid with role `inverse_sigmoid` | – | 7 × out | clamp to 0 … 1 (2), 1 − x, both parts at least ε (2), divide, log |
//! | silu | – | 5 × out | sigmoid and a product |
//! | gelu | – | 5 × out | exact form: x/√2, erf, + 1, × x, × ½ (Hendrycks & Gimpel 2016) |
//! | relu | – | out | one comparison |
//! | add, sub, mul, div | – | out | broadcasts count their result |
//! | max_pool2d | – | out × kh × kw | comparisons from −∞ |
//! | avg_pool2d | – | out × (kh × kw + 1) | additions and one division |
//! | top_k | – | in | each score looked at once: a lower bound, since the rest depends on the algorithm |
//! | embedding | – | 0 from a table; computed: `pos_embed` 3/2 × out, `anchors` 6 × out | sines of products; centres and their logits |
//! | exp, log, sqrt, pow, sin, cos, erf, floor, ceil, round, abs, neg, max, min, mod, floor_div, compare, logic | – | out | single operations of graph files that are part of nothing larger |
//! | clip, rsqrt, scale_and_shift | – | 2 × out | of graph files: two comparisons; a root and a division; a product and an addition |
//! | mean, prod, cumsum | – | in (+ out for a mean) | of graph files: an operation an element; the division |
//! | interpolate, concat, gather, copy | – | 0 | nearest-neighbour upsampling and copies move data and compute nothing |
//!
//! Parameters are all learned weights and biases that the model owns, called or not, trained only or not; running
//! statistics are not parameters.

use crate::{Convention, Kind, Op, ParamRole, Rule, Unit, Work, numel};

/// See the module documentation.
pub static FULL: Convention = Convention {
    name: "full",
    unit: Unit::Mac,
    about: "every operation that does arithmetic; MACs and FLOPs apart",
    mirrors: "detrace",
    sees: |_| true,
    rule,
    of_programs: false,
    is_param: |param| param.role != ParamRole::Statistic,
    params_of_called_only: false,
};

fn rule(kind: &Kind) -> Rule {
    match kind {
        Kind::Conv2d => Rule::Count(|op| {
            let window = op.param("weight").map_or(0, |weight| numel(&weight.shape[1..]));
            with_bias(op, Work::macs(numel(&op.output) * window))
        }),
        Kind::Linear => Rule::Count(|op| {
            // A product with a slice of a packed weight (attention's in_proj) has the slice's shape as its parameter.
            let weight = op.params.iter().find(|param| param.role == ParamRole::Weight);
            let in_features = weight.map_or(0, |weight| weight.shape[1] as u64);
            with_bias(op, Work::macs(numel(&op.output) * in_features))
        }),
        Kind::Matmul => Rule::Count(|op| Work::macs(numel(&op.output) * last(op.input()))),
        Kind::GridSample => Rule::Count(|op| {
            let samples = numel(&op.output);
            // Places are pairs of coordinates. Channels stand last here, and elsewhere in graph files.
            let points = op.inputs.get(1).map_or(samples / last(&op.output), |places| numel(places) / 2);
            Work::macs(4 * samples).plus(14 * points)
        }),
        Kind::Mul => Rule::Count(|op| match op.role.as_str() {
            "weight" => Work { macs: numel(&op.output), flops: numel(&op.output) },
            _ => Work::flops(numel(&op.output)),
        }),
        Kind::Add => Rule::Count(|op| match op.role.as_str() {
            "sum" => Work::flops(numel(op.input())),
            _ => Work::flops(numel(&op.output)),
        }),
        Kind::Sub | Kind::Div | Kind::Relu => Rule::Count(|op| Work::flops(numel(&op.output))),
        Kind::BatchNorm => Rule::Count(|op| Work::flops(2 * numel(op.input()))),
        Kind::LayerNorm => Rule::Count(|op| {
            let elements = numel(op.input());
            Work::flops(7 * elements + 4 * (elements / last(op.input())))
        }),
        Kind::Softmax => Rule::Count(|op| Work::flops(5 * numel(op.input()))),
        Kind::Sigmoid => Rule::Count(|op| match op.role.as_str() {
            "inverse_sigmoid" => Work::flops(7 * numel(&op.output)),
            _ => Work::flops(4 * numel(&op.output)),
        }),
        Kind::Silu | Kind::Gelu => Rule::Count(|op| Work::flops(5 * numel(&op.output))),
        Kind::MaxPool2d => Rule::Count(|op| Work::flops(numel(&op.output) * window(op))),
        Kind::AvgPool2d => Rule::Count(|op| Work::flops(numel(&op.output) * (window(op) + 1))),
        Kind::TopK => Rule::Count(|op| Work::flops(numel(op.input()))),
        Kind::Embedding => Rule::Count(|op| match op.role.as_str() {
            "pos_embed" => Work::flops(numel(&op.output) * 3 / 2),
            "anchors" => Work::flops(numel(&op.output) * 6),
            _ => Work::default(),
        }),
        Kind::Interpolate | Kind::Concat | Kind::Gather | Kind::Copy => Rule::Zero,
        Kind::Custom(name) => of_graphs(name),
    }
}

/// Operations that only graph files have, by the names that their importer gives them.
fn of_graphs(name: &str) -> Rule {
    match name {
        "exp" | "log" | "sqrt" | "pow" | "sin" | "cos" | "erf" | "floor" | "ceil" | "round" | "abs" | "neg" | "max"
        | "min" | "mod" | "floor_div" | "compare" | "logic" => Rule::Count(|op| Work::flops(numel(&op.output))),
        "clip" | "rsqrt" | "scale_and_shift" => Rule::Count(|op| Work::flops(2 * numel(&op.output))),
        "mean" => Rule::Count(|op| Work::flops(numel(op.input()) + numel(&op.output))),
        "prod" | "cumsum" => Rule::Count(|op| Work::flops(numel(op.input()))),
        _ => Rule::Unknown,
    }
}

fn with_bias(op: &Op, work: Work) -> Work {
    if op.has_bias() { work.plus(numel(&op.output)) } else { work }
}

fn last(shape: &[usize]) -> u64 {
    shape.last().map_or(1, |&dim| dim.max(1) as u64)
}

fn window(op: &Op) -> u64 {
    op.attrs.kernel.map_or(0, |[height, width]| height as u64 * width as u64)
}
