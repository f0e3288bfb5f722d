//! `torch.utils.flop_counter.FlopCounterMode`, as in torch 2.15: two FLOPs to a MAC of convolutions, matrix products and
//! attention, at the dispatcher. Biases, norms, activations and sampling are not counted.
//!
//! It prints no parameters; those here are `model.parameters()`.

use super::formulas::{conv_macs, linear_macs, matmul_macs};
use crate::{Convention, Kind, Op, Rule, Standing, Unit, View, Work};

/// See the module documentation.
pub static TORCH_FLOP_COUNTER: Convention = Convention {
    name: "torch-flop-counter",
    unit: Unit::Flop,
    about: "FlopCounterMode: convolutions, matrix products and attention at the dispatcher, two FLOPs to a MAC",
    mirrors: "torch 2.15.0 (utils.flop_counter)",
    sees: |_, _| true,
    rule,
    of_torch: true,
    of_programs: false,
    is_param: Standing::is_parameter,
    params_of_called_only: false,
    params_besides: |_| Vec::new(),
};

fn rule(op: &Op, _: &View<'_>) -> Rule {
    Rule::Count(Work::macs(match op.kind {
        Kind::Conv2d => conv_macs(op),
        Kind::Linear => linear_macs(op),
        Kind::Matmul => matmul_macs(op),
        Kind::Custom(_) => return Rule::Unknown,
        _ => return Rule::Ignore,
    }))
}
