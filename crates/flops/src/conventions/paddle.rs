//! `paddle.flops` / `paddle.hapi.dynamic_flops`, as in paddlepaddle 3.3.1 and 2.6.2.
//!
//! Paddle hooks **leaf layers** (layers without children), and counts those that were really called. So whatever a block
//! does by itself is invisible to it: attention products, the packed `in_proj_weight` of attention, softmax, sampling,
//! residual adds, interpolation, and every activation written as a function. What Paddle prints as "Flops" are
//! multiply-accumulates plus a few per-element terms.
//!
//! | layer | per call |
//! |---|---|
//! | `Conv2D` | out elements × (in channels / groups × kernel height × kernel width + 1 if it has a bias) |
//! | `Linear` | in features × out elements; the bias is not counted |
//! | `BatchNorm2D` | 2 × in elements |
//! | `AvgPool2D` | out elements |
//! | `ReLU`, `Dropout` | 0, "has been counted" |
//! | any other leaf | 0, "Cannot find suitable count function" |
//!
//! Running mean and variance are parameters in Paddle, so a batch norm has 4 per channel.

use super::formulas::{bias, conv_macs, input, linear_macs, output};
use crate::{Convention, Kind, Op, Rule, Unit, Work};

/// See the module documentation.
pub static PADDLE: Convention = Convention {
    name: "paddle",
    unit: Unit::Mac,
    about: "paddle.flops: called leaf layers only; prints MACs as \"Flops\"",
    mirrors: "paddlepaddle 3.3.1 (hapi.dynamic_flops)",
    sees: |op, _| op.is_module() && !is_function_in_paddle(op),
    rule: |op, _| rule(op),
    of_torch: false,
    of_programs: false,
    is_param: |_| true,
    params_of_called_only: true,
    params_besides: |_| Vec::new(),
};

/// Activations that PaddleDetection's RT-DETR writes as functions: `F.relu` in ResNet, `x * F.sigmoid(x)` in the encoder,
/// `F.gelu` and `F.relu` in the transformer. HGNetv2's are `nn.ReLU` layers, and so are a user's own.
fn is_function_in_paddle(op: &Op) -> bool {
    matches!(op.kind, Kind::Relu | Kind::Silu | Kind::Gelu)
        && ["backbone.conv1.", "backbone.res_layers.", "encoder.", "decoder."]
            .iter()
            .any(|block| op.path.starts_with(block))
}

fn rule(op: &Op) -> Rule {
    match op.kind {
        Kind::Conv2d => Rule::Count(Work::units(conv_macs(op) + bias(op))),
        Kind::Linear => Rule::Count(Work::units(linear_macs(op))),
        Kind::BatchNorm => Rule::Count(Work::units(2 * input(op))),
        Kind::AvgPool2d => Rule::Count(Work::units(output(op))),
        Kind::Custom(_) => Rule::Unknown,
        _ => Rule::Zero,
    }
}
