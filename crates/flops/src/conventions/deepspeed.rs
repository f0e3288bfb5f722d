//! DeepSpeed's flops profiler (`get_model_profile`), as in deepspeed 0.19.8: FLOPs, and its own MACs under `macs`.
//!
//! The rules are those of [`calflops`](super::CALFLOPS), which was made from it, with two differences:
//!
//! | function | FLOPs per call | MACs |
//! |---|---|---|
//! | `scaled_dot_product_attention` | 2 MACs of its two products | yes |
//! | `interpolate` | out; height × width if they are given | |
//!
//! Parameters are `model.parameters()`, trained or not.

use super::calflops;
use super::formulas::{matmul_macs, output};
use crate::{Convention, Form, Kind, Op, Rule, Standing, Unit, View, Work};

/// See the module documentation.
pub static DEEPSPEED: Convention = Convention {
    name: "deepspeed",
    unit: Unit::Flop,
    about: "get_model_profile: patched functions, scaled_dot_product_attention among them",
    mirrors: "deepspeed 0.19.8",
    sees: |op, view| !matches!(view.form(op), Form::Bound | Form::Arithmetic),
    rule,
    of_torch: true,
    of_programs: false,
    is_param: Standing::is_parameter,
    params_of_called_only: false,
    params_besides: |_| Vec::new(),
};

fn rule(op: &Op, view: &View<'_>) -> Rule {
    match op.kind {
        Kind::Matmul => Rule::Count(Work::macs(matmul_macs(op))),
        Kind::Interpolate if op.role != "pixel_mask" => Rule::Count(Work::flops(output(op))),
        _ if view.form(op) == Form::InKernel => Rule::Ignore,
        _ => calflops::rule(op, view),
    }
}
