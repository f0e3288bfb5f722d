//! `ptflops.get_model_complexity_info` with the `aten` backend, as in ptflops 0.7.5. It prints MACs and additions of biases
//! as MACs.
//!
//! It counts what the dispatcher sees of convolutions and matrix products. The kernel of attention is not in its table. A
//! linear layer on contiguous input is `aten::addmm`, whose bias is counted; on any other input it is `aten::mm` and
//! `aten::add_`, and the bias is not.
//!
//! | operation | per call |
//! |---|---|
//! | `aten::convolution`, `aten::addmm` | MACs + out for a bias |
//! | `aten::mm` | MACs |

use super::formulas::{bias, conv_macs, linear_macs};
use crate::{Convention, Framework, Kind, Op, Rule, Standing, Unit, View, Work};

/// See the module documentation.
pub static PTFLOPS_ATEN: Convention = Convention {
    name: "ptflops-aten",
    unit: Unit::Mac,
    about: "get_model_complexity_info, backend aten: convolutions and matrix products at the dispatcher",
    mirrors: "ptflops 0.7.5",
    sees: |_, _| true,
    rule,
    of_torch: true,
    of_programs: false,
    is_param: |standing| standing == Standing::Trained,
    params_of_called_only: false,
    params_besides: |_| Vec::new(),
};

fn rule(op: &Op, view: &View<'_>) -> Rule {
    Rule::Count(Work::units(match op.kind {
        Kind::Conv2d => conv_macs(op) + bias(op),
        Kind::Linear if is_contiguous(op, view.framework) => linear_macs(op) + bias(op),
        Kind::Linear => linear_macs(op),
        Kind::Custom(_) => return Rule::Unknown,
        _ => return Rule::Ignore,
    }))
}

/// Whether a linear layer's input is contiguous. The tokens of a feature map are a transposed view of it, and adding the
/// position embedding keeps the order; `nn.MultiheadAttention` swaps batch and tokens, which shows with more than one
/// image; the official deformable attention hands a transposed view to its last layer.
fn is_contiguous(op: &Op, framework: Framework) -> bool {
    let of_attention = matches!(op.role.as_str(), "q_proj" | "k_proj" | "v_proj");
    let first_of_encoder = op.path.starts_with("encoder.encoder.") && op.path.contains(".layers.0.self_attn#");
    let swapped = framework == Framework::Official && op.input().first().is_some_and(|&batch| batch > 1);
    let last_of_deformable = framework == Framework::Official && op.path.ends_with(".cross_attn.output_proj");
    !(of_attention && (first_of_encoder || swapped) || last_of_deformable)
}
