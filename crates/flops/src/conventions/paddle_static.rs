//! `paddle.flops` of a program (`static_flops`), as in paddlepaddle 2.6.2.
//!
//! Paddle goes through a program's operations, not through layers, and knows a few types; every other one is worth nothing to
//! it. Above all it does not know `matmul_v2`, so no linear layer and no attention of Paddle 2.x is counted. The first
//! dimension is dropped, whatever it is; shapes below are without it.
//!
//! | operation | count |
//! |---|---|
//! | `conv2d`, `depthwise_conv2d` | out × (in channels / groups × kernel height × kernel width + 1 if it has a bias itself) |
//! | `batch_norm` | 2 × out |
//! | `pool2d`, of any sort | out × (⌊in height / out height⌋ × ⌊in width / out width⌋ + 1) |
//! | `mul`, `matmul` | first dimension of the second operand (not dropped) × out |
//! | any that begins with `element` | elements of the first operand, and 1 for one of one dimension; also of indices and of constants |
//!
//! Only programs can be counted so; what ran, or was planned, has no operations of a program. Paddle 3 has its own
//! programs (PIR) and cannot count them: for these, nothing confirms what the same rules give.
//! Paddle prints no parameters here; the number given is of all that the program has, norm statistics included.

use crate::{Convention, Kind, Op, Rule, Unit, Work, numel};

/// See the module documentation.
pub static PADDLE_STATIC: Convention = Convention {
    name: "paddle-static",
    unit: Unit::Mac,
    about: "paddle.flops of a program: convolutions, norms, pools and elementwise operations, no matmul_v2",
    mirrors: "paddlepaddle 2.6.2 (hapi.static_flops)",
    sees,
    rule,
    of_programs: true,
    is_param: |_| true,
    params_of_called_only: false,
};

fn sees(op: &Op) -> bool {
    op.program.as_ref().is_some_and(|program| match program.op.as_str() {
        "conv2d" | "depthwise_conv2d" | "batch_norm" | "pool2d" | "mul" | "matmul" => true,
        other => other.starts_with("element"),
    })
}

fn rule(kind: &Kind) -> Rule {
    match kind {
        Kind::Conv2d => Rule::Count(|op| {
            let window = op.param("weight").map_or(0, |weight| numel(&weight.shape[1..]));
            Work::units(without_first(&op.output) * (window + u64::from(op.has_bias())))
        }),
        Kind::BatchNorm => Rule::Count(|op| Work::units(2 * without_first(&op.output))),
        Kind::MaxPool2d | Kind::AvgPool2d => Rule::Count(|op| {
            let window: u64 = (2..4).map(|axis| (op.input()[axis] / op.output[axis].max(1)) as u64).product();
            Work::units(without_first(&op.output) * (window + 1))
        }),
        Kind::Linear => Rule::Count(|op| {
            let in_features = op.param("weight").map_or(0, |weight| weight.shape[1] as u64);
            Work::units(in_features * without_first(&op.output))
        }),
        Kind::Matmul => Rule::Count(|op| {
            let first = op.inputs.get(1).and_then(|shape| shape.first()).map_or(0, |&size| size as u64);
            Work::units(first * without_first(&op.output))
        }),
        _ => Rule::Count(|op| Work::units(without_first(op.input()))),
    }
}

/// Elements of all dimensions but the first; 1 where there are no others.
fn without_first(shape: &[usize]) -> u64 {
    numel(shape.get(1..).unwrap_or(&[]))
}
