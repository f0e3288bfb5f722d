//! `torch.profiler.profile(with_flops=True)` as RT-DETR's `tools/run_profile.py` uses it, with torch 2.15: after a warm-up
//! run, so that position embedding and anchors are kept from it.
//!
//! It counts `aten::conv2d`, `mm` and `addmm` with two FLOPs to a MAC, and every `aten::add` and `aten::mul` that makes a new
//! tensor with the elements of its **first** operand, however small that is beside the result. The kernel of attention,
//! norms, activations, `add_`, `sub`, `div` and sampling are not counted. Parameters are those with `requires_grad`.
//!
//! | operation | `add` and `mul` in it, elements of first operands |
//! |---|---|
//! | residuals, position embeddings, sums of branches and boxes | in |
//! | frozen norm: `x * scale + bias` and making both | 2 × in + 3 × channels |
//! | mask of the anchors: `[1, tokens, 1] * memory` | tokens |
//! | sampling offsets: `offsets * size * 0.5` | 2 × in; RT-DETRv2 also multiplies by a scale of each point: in |
//! | sampling locations: `corner + offsets` | elements of the corners |
//! | sampling: `2 * locations - 1`; discrete: `* [w, h] + 0.5` | in; in each |
//! | attention-weighted sum | elements of the samples |
//! | `aten::repeat` (of indices before a gather) | as many as the tensor has dimensions |

use super::formulas::{conv_macs, input, linear_macs, output};
use crate::{Convention, Form, Framework, Kind, Op, Rule, Standing, Unit, View, Work, numel};

/// See the module documentation.
pub static TORCH_PROFILER: Convention = Convention {
    name: "torch-profiler",
    unit: Unit::Flop,
    about: "torch.profiler with_flops, as in run_profile.py: convolutions, matrix products, add and mul",
    mirrors: "torch 2.15.0 (profiler)",
    sees: |_, _| true,
    rule,
    of_torch: true,
    of_programs: false,
    is_param: |standing| standing == Standing::Trained,
    params_of_called_only: false,
    params_besides: |_| Vec::new(),
};

fn rule(op: &Op, view: &View<'_>) -> Rule {
    let hf = view.framework == Framework::HuggingFace;
    let elementwise = match (&op.kind, op.role.as_str()) {
        (Kind::Conv2d, _) => return Rule::Count(Work::macs(conv_macs(op))),
        (Kind::Linear, _) => return Rule::Count(Work::macs(linear_macs(op))),
        (Kind::Custom(_), _) => return Rule::Unknown,
        (Kind::BatchNorm, _) if view.is_frozen(op) => 2 * input(op) + 3 * channels(op),
        // Its first operand is the corner, broadcast to the offsets.
        (Kind::Add, "locations") => op.inputs.get(1).map_or(0, |corner| numel(corner)),
        // `Tensor.sum`.
        (Kind::Add, "sum") => return Rule::Ignore,
        // `hidden_state += residual` in transformers' ResNet.
        (Kind::Add, "residual") if hf && op.path.contains(".res_layers.") => return Rule::Ignore,
        (Kind::Add, _) => input(op),
        // RT-DETR divides.
        (Kind::Mul, "offset_scale") if view.is_v1() => return Rule::Ignore,
        (Kind::Mul, "offset_size") => 2 * input(op),
        (Kind::Mul, _) if view.form(op) != Form::InKernel => input(op),
        (Kind::GridSample, "sampling") => places(op) + tensor_of_shapes(view),
        (Kind::Gather, "sampling") => rounded(view) + tensor_of_shapes(view),
        // The selected boxes, and their class logits, which only training reads.
        (Kind::Gather, "gather_reference") => 2 * REPEAT,
        (Kind::Gather, "gather_content") | (Kind::Copy, "tile_content") => REPEAT,
        _ => return Rule::Ignore,
    };
    Rule::Count(Work::flops(elementwise))
}

/// `repeat` of a tensor with three dimensions multiplies its sizes.
const REPEAT: u64 = 3;

/// Coordinates of the sampled points.
fn places(op: &Op) -> u64 {
    op.inputs.get(1).map_or(0, |places| numel(places))
}

/// `repeat` of a tensor with two dimensions, once for each level.
fn rounded(view: &View<'_>) -> u64 {
    2 * view.levels()
}

/// transformers' RT-DETRv2 multiplies heights by widths to check the number of tokens.
fn tensor_of_shapes(view: &View<'_>) -> u64 {
    if view.framework == Framework::HuggingFace && !view.is_v1() { view.levels() } else { 0 }
}

fn channels(op: &Op) -> u64 {
    op.output.get(1).map_or_else(|| output(op), |&channels| channels as u64)
}
