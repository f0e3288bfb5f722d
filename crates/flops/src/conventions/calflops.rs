//! `calflops.calculate_flops`, as in calflops 0.3.2: FLOPs, and its own MACs under `macs`.
//!
//! It patches the functions of `torch.nn.functional`, so it sees the projections of `nn.MultiheadAttention` and every module
//! that calls a patched function; `F.scaled_dot_product_attention` is not patched. Its formula for `interpolate` throws the
//! scale away and returns the elements of the input; with a size it returns the product of the size, whatever the batch.
//!
//! | function | FLOPs per call | MACs |
//! |---|---|---|
//! | `conv2d` | 2 MACs + out for a bias | yes |
//! | `linear` | 2 MACs | yes |
//! | `batch_norm` | 2 × in | |
//! | `layer_norm` | 5 × in | |
//! | `relu`, `silu`, `gelu`, `softmax`, `max_pool2d`, `avg_pool2d` | in | |
//! | `interpolate` | in, or height × width if they are given | |

use super::formulas::{bias, conv_macs, input, linear_macs, pool_input};
use crate::{Convention, Form, Kind, Op, Rule, Standing, Unit, View, Work, numel};

/// See the module documentation.
pub static CALFLOPS: Convention = Convention {
    name: "calflops",
    unit: Unit::Flop,
    about: "calculate_flops: patched functions; no attention products",
    mirrors: "calflops 0.3.2",
    sees: |op, view| matches!(view.form(op), Form::Module | Form::Function | Form::InAttention),
    rule,
    of_torch: true,
    of_programs: false,
    is_param: |standing| standing == Standing::Trained,
    params_of_called_only: false,
    params_besides: |_| Vec::new(),
};

/// The rules that calflops and the DeepSpeed profiler share: one is made from the other.
pub(super) fn rule(op: &Op, _: &View<'_>) -> Rule {
    Rule::Count(match op.kind {
        Kind::Conv2d => Work::macs(conv_macs(op)).plus(bias(op)),
        Kind::Linear => Work::macs(linear_macs(op)),
        Kind::BatchNorm => Work::flops(2 * input(op)),
        Kind::LayerNorm => Work::flops(5 * input(op)),
        Kind::Relu | Kind::Silu | Kind::Gelu | Kind::Softmax => Work::flops(input(op)),
        Kind::MaxPool2d | Kind::AvgPool2d => Work::flops(pool_input(op)),
        Kind::Interpolate if op.role == "pixel_mask" => Work::flops(numel(op.output.get(2..).unwrap_or_default())),
        Kind::Interpolate => Work::flops(input(op)),
        Kind::Custom(_) => return Rule::Unknown,
        _ => return Rule::Ignore,
    })
}
