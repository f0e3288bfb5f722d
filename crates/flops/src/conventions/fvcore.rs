//! `fvcore.nn.FlopCountAnalysis`, as in fvcore 0.1.5.post20221221. What it prints as FLOPs are MACs and per-element terms.
//!
//! It counts the operations of a traced graph. `aten::scaled_dot_product_attention` is not in its table, so the attention
//! products are missing (`unsupported_ops()` lists them), and so is the arithmetic of frozen norms (`aten::mul`, `add`,
//! `rsqrt`). The masks that transformers scales are dead code in the graph.
//!
//! | operation | per call |
//! |---|---|
//! | `aten::_convolution`, `aten::linear` | MACs; biases are not counted |
//! | `aten::batch_norm` | 2 × in |
//! | `aten::layer_norm` | 5 × in |
//! | `aten::upsample_nearest2d` | out |
//! | `aten::grid_sampler` | 4 × out |

use super::formulas::{conv_macs, input, linear_macs, output};
use crate::{Convention, Kind, Op, Rule, Standing, Unit, View, Work};

/// See the module documentation.
pub static FVCORE: Convention = Convention {
    name: "fvcore",
    unit: Unit::Mac,
    about: "FlopCountAnalysis: operations of a traced graph; no attention products",
    mirrors: "fvcore 0.1.5.post20221221",
    sees: |op, _| op.role != "pixel_mask",
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
        Kind::BatchNorm if !view.is_frozen(op) => 2 * input(op),
        Kind::LayerNorm => 5 * input(op),
        Kind::Interpolate => output(op),
        Kind::GridSample => 4 * output(op),
        Kind::Custom(_) => return Rule::Unknown,
        _ => return Rule::Ignore,
    }))
}
