//! `thop.profile`, as in thop 0.1.1 (pytorch-OpCounter). It prints MACs and per-element terms as MACs.
//!
//! It hooks modules without children whose type is exactly one of its table's. So it sees nothing of
//! `nn.MultiheadAttention`, whose `out_proj` is of a type of its own, of frozen norms, and of functions. Only hooked
//! modules that are called have parameters for it.
//!
//! | module | per call |
//! |---|---|
//! | `Conv2d`, `Linear` | MACs; biases are not counted |
//! | `BatchNorm2d`, `LayerNorm` | 4 × in |
//! | `AvgPool2d` | out |
//! | `ReLU`, `MaxPool2d` | 0 |
//! | any other | not hooked |

use super::formulas::{conv_macs, input, linear_macs, output};
use crate::{Convention, Form, Kind, Op, Rule, Standing, Unit, View, Work};

/// See the module documentation.
pub static THOP: Convention = Convention {
    name: "thop",
    unit: Unit::Mac,
    about: "thop.profile: hooks on modules of known types; no attention of nn.MultiheadAttention",
    mirrors: "thop 0.1.1.post2209072238",
    sees: |op, view| view.form(op) == Form::Module,
    rule,
    of_torch: true,
    of_programs: false,
    is_param: Standing::is_parameter,
    params_of_called_only: true,
    params_besides: |_| Vec::new(),
};

fn rule(op: &Op, _: &View<'_>) -> Rule {
    Rule::Count(Work::units(match op.kind {
        Kind::Conv2d => conv_macs(op),
        Kind::Linear => linear_macs(op),
        Kind::BatchNorm | Kind::LayerNorm => 4 * input(op),
        Kind::AvgPool2d => output(op),
        Kind::Relu | Kind::MaxPool2d => return Rule::Zero,
        Kind::Custom(_) => return Rule::Unknown,
        _ => return Rule::Ignore,
    }))
}
