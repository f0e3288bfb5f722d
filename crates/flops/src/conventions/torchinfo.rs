//! `torchinfo.summary`, as in torchinfo 1.8.0: "Total mult-adds" and "Total params".
//!
//! It hooks modules without children. Of a layer that is not called `Conv…` it counts the parameters once an image, not once
//! a token or pixel: a linear layer on 400 tokens is worth as much as on one. `nn.MultiheadAttention` has a child, so it is
//! no such module, and its child is never called.
//!
//! | module | per call |
//! |---|---|
//! | `Conv2d` | MACs + out for a bias |
//! | `Linear`, `BatchNorm2d`, `LayerNorm` | images × parameters |
//!
//! The official code keeps the decoder's heads outside of the decoder, and calls them in between its layers. torchinfo then
//! lists the decoder twice, counts its layers that ran once more, and clips what is left of the module around it at 0.

use super::formulas::{bias, conv_macs, learned};
use crate::{Besides, Convention, Form, Framework, Kind, Op, Param, Rule, Standing, Unit, View, Work};

/// See the module documentation.
pub static TORCHINFO: Convention = Convention {
    name: "torchinfo",
    unit: Unit::Mac,
    about: "summary: mult-adds of modules without children; a linear layer counts once an image",
    mirrors: "torchinfo 1.8.0",
    sees: |op, view| view.form(op) == Form::Module,
    rule,
    of_torch: true,
    of_programs: false,
    is_param: Standing::is_parameter,
    params_of_called_only: false,
    params_besides,
};

fn rule(op: &Op, _: &View<'_>) -> Rule {
    Rule::Count(Work::units(match op.kind {
        Kind::Conv2d => conv_macs(op) + bias(op),
        Kind::Linear | Kind::BatchNorm | Kind::LayerNorm => {
            op.output.first().map_or(0, |&images| images as u64) * learned(op)
        }
        Kind::Custom(_) => return Rule::Unknown,
        _ => return Rule::Zero,
    }))
}

fn params_besides(view: &View<'_>) -> Vec<Besides> {
    if view.framework != Framework::Official {
        return Vec::new();
    }
    let sum = |wanted: &dyn Fn(&Param) -> bool| -> i64 {
        view.trace().params.iter().filter(|param| wanted(param)).map(|param| param.numel() as i64).sum()
    };
    let again = sum(&|param| param.name.starts_with("decoder.decoder.layers.") && view.is_called(param));
    let read_directly = ["decoder.denoising_class_embed", "decoder.tgt_embed"];
    let idle_head = |param: &Param| param.name.starts_with("decoder.dec_bbox_head.") && !view.is_called(param);
    let lost = sum(&|param| read_directly.contains(&param.owner()) || idle_head(param));
    // What is left of the module around the decoder is `lost - again`, or 0 where that is negative.
    if lost >= again {
        return Vec::new();
    }
    vec![
        Besides { what: "decoder layers counted twice", params: again },
        Besides { what: "lost beside the decoder that is counted twice", params: -lost },
    ]
}
