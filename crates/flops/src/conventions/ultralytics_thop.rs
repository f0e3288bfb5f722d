//! `thop.profile` of ultralytics-thop 2.2.3. It prints MACs and per-element terms as MACs; parameters are
//! `model.parameters()`.
//!
//! It hooks modules, `nn.MultiheadAttention` as a whole among them, and counts matrix products that are called as functions
//! outside of hooked modules, `F.scaled_dot_product_attention` among them. So the softmax of attention is counted in the
//! official code only.
//!
//! | module or function | per call |
//! |---|---|
//! | `Conv2d`, `Linear`, products | MACs; biases are not counted |
//! | `BatchNorm2d`, `LayerNorm` | 4 × in |
//! | `AvgPool2d` | elements in all windows + out |
//! | `nn.MultiheadAttention` | MACs of projections and products + rows × (3 × keys − 1) for the softmax |

use super::formulas::{conv_macs, input, last, linear_macs, matmul_macs, output};
use crate::{Convention, Form, Framework, Kind, Op, Rule, Standing, Unit, View, Work};

/// See the module documentation.
pub static ULTRALYTICS_THOP: Convention = Convention {
    name: "ultralytics-thop",
    unit: Unit::Mac,
    about: "thop.profile of Ultralytics: hooks on modules, nn.MultiheadAttention as one; products called as functions",
    mirrors: "ultralytics-thop 2.2.3",
    sees: |op, view| matches!(view.form(op), Form::Module | Form::InAttention | Form::InKernel),
    rule,
    of_torch: true,
    of_programs: false,
    is_param: Standing::is_parameter,
    params_of_called_only: false,
    params_besides: |_| Vec::new(),
};

fn rule(op: &Op, view: &View<'_>) -> Rule {
    Rule::Count(Work::units(match op.kind {
        Kind::Conv2d => conv_macs(op),
        Kind::Linear => linear_macs(op),
        Kind::Matmul => matmul_macs(op),
        Kind::Softmax if view.framework == Framework::Official => 3 * input(op) - input(op) / last(op.input()),
        Kind::BatchNorm | Kind::LayerNorm => 4 * input(op),
        Kind::AvgPool2d => in_windows(op) + output(op),
        Kind::Relu | Kind::MaxPool2d => return Rule::Zero,
        Kind::Custom(_) => return Rule::Unknown,
        _ => return Rule::Ignore,
    }))
}

/// Elements in all windows of a pool, padding among them, and what lies behind the padding not.
fn in_windows(op: &Op) -> u64 {
    let (Some(kernel), Some(stride), Some([top, left, bottom, right])) =
        (op.attrs.kernel, op.attrs.stride, op.attrs.padding)
    else {
        return input(op);
    };
    let (&[batch, channels, height, width], &[_, _, rows, columns]) = (op.input(), op.output.as_slice()) else {
        return input(op);
    };
    let along = |padded: usize, places: usize, axis: usize| -> u64 {
        (0..places).map(|place| (padded.saturating_sub(place * stride[axis])).min(kernel[axis]) as u64).sum()
    };
    batch as u64 * channels as u64 * along(top + height + bottom, rows, 0) * along(left + width + right, columns, 1)
}
