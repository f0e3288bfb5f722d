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

use crate::{Convention, Kind, Op, Rule, Unit, Work, numel};

/// See the module documentation.
pub static PADDLE: Convention = Convention {
    name: "paddle",
    unit: Unit::Mac,
    about: "paddle.flops: called leaf layers only; prints MACs as \"Flops\"",
    mirrors: "paddlepaddle 3.3.1 (hapi.dynamic_flops)",
    sees,
    rule,
    of_programs: false,
    is_param: |_| true,
    params_of_called_only: true,
};

fn sees(op: &Op) -> bool {
    op.is_module() && !is_function_in_paddle(op)
}

/// Activations that PaddleDetection's RT-DETR writes as functions: `F.relu` in ResNet, `x * F.sigmoid(x)` in the encoder,
/// `F.gelu` and `F.relu` in the transformer. HGNetv2's are `nn.ReLU` layers, and so are a user's own.
fn is_function_in_paddle(op: &Op) -> bool {
    matches!(op.kind, Kind::Relu | Kind::Silu | Kind::Gelu)
        && ["backbone.conv1.", "backbone.res_layers.", "encoder.", "decoder."]
            .iter()
            .any(|block| op.path.starts_with(block))
}

fn rule(kind: &Kind) -> Rule {
    match kind {
        Kind::Conv2d => Rule::Count(|op| {
            let per_output =
                op.param("weight").map_or(0, |weight| numel(&weight.shape[1..])) + u64::from(op.has_bias());
            Work::units(numel(&op.output) * per_output)
        }),
        Kind::Linear => Rule::Count(|op| {
            let in_features = op.param("weight").map_or(0, |weight| weight.shape[1] as u64);
            Work::units(in_features * numel(&op.output))
        }),
        Kind::BatchNorm => Rule::Count(|op| Work::units(2 * numel(op.input()))),
        Kind::AvgPool2d => Rule::Count(|op| Work::units(numel(&op.output))),
        Kind::Custom(_) => Rule::Unknown,
        _ => Rule::Zero,
    }
}
