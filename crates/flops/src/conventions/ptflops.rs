//! `ptflops.get_model_complexity_info` with the `pytorch` backend, as in ptflops 0.7.5. It prints MACs and per-element terms
//! as MACs.
//!
//! It hooks modules and patches functions of `torch.nn.functional`, and both fire where a hooked module calls a patched
//! function: such a layer is counted twice. On the official code it fails unless it is given
//! `ignore_modules=[nn.MultiheadAttention]`, and attention is missing then; in transformers the products of attention are.
//!
//! | module or function | per call |
//! |---|---|
//! | `Conv2d`, `Linear` | MACs + out for a bias |
//! | `BatchNorm2d` | 2 × in |
//! | `LayerNorm` | in |
//! | `ReLU`, `GELU` | out, twice as a module; `SiLU` has no hook, so once |
//! | `MaxPool2d`, `AvgPool2d` | in, twice as a module |
//! | `F.softmax` | in |
//! | `F.interpolate` | out |

use super::formulas::{bias, conv_macs, input, linear_macs, output, pool_input};
use crate::{Convention, Form, Kind, Op, Rule, Standing, Unit, View, Work};

/// See the module documentation.
pub static PTFLOPS: Convention = Convention {
    name: "ptflops",
    unit: Unit::Mac,
    about: "get_model_complexity_info, backend pytorch, ignore_modules=[nn.MultiheadAttention]",
    mirrors: "ptflops 0.7.5",
    sees: |op, view| matches!(view.form(op), Form::Module | Form::Function),
    rule,
    of_torch: true,
    of_programs: false,
    is_param: |standing| standing == Standing::Trained,
    params_of_called_only: false,
    params_besides: |_| Vec::new(),
};

fn rule(op: &Op, view: &View<'_>) -> Rule {
    let work = Work::units(match op.kind {
        Kind::Conv2d => conv_macs(op) + bias(op),
        Kind::Linear => linear_macs(op) + bias(op),
        Kind::BatchNorm => 2 * input(op),
        Kind::LayerNorm | Kind::Softmax => input(op),
        Kind::Relu | Kind::Gelu | Kind::Silu | Kind::Interpolate => output(op),
        Kind::MaxPool2d | Kind::AvgPool2d => pool_input(op),
        Kind::Custom(_) => return Rule::Unknown,
        _ => return Rule::Ignore,
    });
    let hooked = matches!(op.kind, Kind::Relu | Kind::Gelu | Kind::MaxPool2d | Kind::AvgPool2d);
    if hooked && view.form(op) == Form::Module { Rule::Twice(work) } else { Rule::Count(work) }
}
