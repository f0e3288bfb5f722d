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

use crate::{Convention, Kind, Op, Rule, Unit, View, Work, numel};

/// See the module documentation.
pub static PADDLE_STATIC: Convention = Convention {
    name: "paddle-static",
    unit: Unit::Mac,
    about: "paddle.flops of a program: convolutions, norms, pools and elementwise operations, no matmul_v2",
    mirrors: "paddlepaddle 2.6.2 (hapi.static_flops)",
    sees,
    rule,
    of_torch: false,
    of_programs: true,
    is_param: |_| true,
    params_of_called_only: false,
    params_besides: |_| Vec::new(),
};

fn sees(op: &Op, _: &View<'_>) -> bool {
    op.program.as_ref().is_some_and(|program| match program.op.as_str() {
        "conv2d" | "depthwise_conv2d" | "batch_norm" | "pool2d" | "mul" | "matmul" => true,
        other => other.starts_with("element"),
    })
}

fn rule(op: &Op, _: &View<'_>) -> Rule {
    let elements = without_first(&op.output);
    Rule::Count(Work::units(match op.kind {
        Kind::Conv2d => {
            let window = op.param("weight").map_or(0, |weight| numel(&weight.shape[1..]));
            elements * (window + u64::from(op.has_bias()))
        }
        Kind::BatchNorm => 2 * elements,
        Kind::MaxPool2d | Kind::AvgPool2d => {
            let window: u64 = (2..4).map(|axis| (op.input()[axis] / op.output[axis].max(1)) as u64).product();
            elements * (window + 1)
        }
        Kind::Linear => elements * op.param("weight").map_or(0, |weight| weight.shape[1] as u64),
        Kind::Matmul => elements * op.inputs.get(1).and_then(|shape| shape.first()).map_or(0, |&size| size as u64),
        _ => without_first(op.input()),
    }))
}

/// Elements of all dimensions but the first; 1 where there are no others.
fn without_first(shape: &[usize]) -> u64 {
    numel(shape.get(1..).unwrap_or(&[]))
}
