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

use super::formulas::{bias, conv_macs, input, last, linear_macs, matmul_macs, output, window};
use crate::{Convention, Kind, Op, Rule, Standing, Unit, Work, numel};

/// See the module documentation.
pub static FULL: Convention = Convention {
    name: "full",
    unit: Unit::Mac,
    about: "every operation that does arithmetic; MACs and FLOPs apart",
    mirrors: "detrace",
    sees: |_, _| true,
    rule: |op, _| {
        full_work(op).map_or(Rule::Unknown, |work| if moves_only(&op.kind) { Rule::Zero } else { Rule::Count(work) })
    },
    of_torch: false,
    of_programs: false,
    is_param: |standing| standing != Standing::Statistic,
    params_of_called_only: false,
    params_besides: |_| Vec::new(),
};

/// Operations that compute nothing.
fn moves_only(kind: &Kind) -> bool {
    matches!(kind, Kind::Interpolate | Kind::Concat | Kind::Gather | Kind::Copy)
}

/// The arithmetic of one call under [`FULL`]; `None` for a kind that it does not know.
pub fn full_work(op: &Op) -> Option<Work> {
    Some(match op.kind {
        Kind::Conv2d => Work::macs(conv_macs(op)).plus(bias(op)),
        Kind::Linear => Work::macs(linear_macs(op)).plus(bias(op)),
        Kind::Matmul => Work::macs(matmul_macs(op)),
        Kind::GridSample => {
            // Places are pairs of coordinates. Channels stand last here, and elsewhere in graph files.
            let points = op.inputs.get(1).map_or(output(op) / last(&op.output), |places| numel(places) / 2);
            Work::macs(4 * output(op)).plus(14 * points)
        }
        Kind::Mul => match op.role.as_str() {
            "weight" => Work { macs: output(op), flops: output(op) },
            _ => Work::flops(output(op)),
        },
        Kind::Add => match op.role.as_str() {
            "sum" => Work::flops(input(op)),
            _ => Work::flops(output(op)),
        },
        Kind::Sub | Kind::Div | Kind::Relu => Work::flops(output(op)),
        Kind::BatchNorm => Work::flops(2 * input(op)),
        Kind::LayerNorm => Work::flops(7 * input(op) + 4 * (input(op) / last(op.input()))),
        Kind::Softmax => Work::flops(5 * input(op)),
        Kind::Sigmoid => match op.role.as_str() {
            "inverse_sigmoid" => Work::flops(7 * output(op)),
            _ => Work::flops(4 * output(op)),
        },
        Kind::Silu | Kind::Gelu => Work::flops(5 * output(op)),
        Kind::MaxPool2d => Work::flops(output(op) * window(op)),
        Kind::AvgPool2d => Work::flops(output(op) * (window(op) + 1)),
        Kind::TopK => Work::flops(input(op)),
        Kind::Embedding => match op.role.as_str() {
            "pos_embed" => Work::flops(output(op) * 3 / 2),
            "anchors" => Work::flops(output(op) * 6),
            _ => Work::default(),
        },
        Kind::Interpolate | Kind::Concat | Kind::Gather | Kind::Copy => Work::default(),
        Kind::Custom(ref name) => return of_graphs(name, op),
    })
}

/// Operations that only graph files have, by the names that their importer gives them.
fn of_graphs(name: &str, op: &Op) -> Option<Work> {
    Some(Work::flops(match name {
        "exp" | "log" | "sqrt" | "pow" | "sin" | "cos" | "erf" | "floor" | "ceil" | "round" | "abs" | "neg" | "max"
        | "min" | "mod" | "floor_div" | "compare" | "logic" => output(op),
        "clip" | "rsqrt" | "scale_and_shift" => 2 * output(op),
        "mean" => input(op) + output(op),
        "prod" | "cumsum" => input(op),
        _ => return None,
    }))
}
