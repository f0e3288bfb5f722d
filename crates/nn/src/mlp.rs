use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use detrace_flops::Structure;

use crate::{Activation, Linear};

/// Linear layers with ReLU between them (DETR's box head).
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// As many layers as there are `widths` behind the first, that of the input.
    pub fn new(widths: &[usize], structure: Structure, vb: VarBuilder) -> Result<Mlp> {
        let last = widths.len().saturating_sub(2);
        let layer = |(index, pair): (usize, &[usize])| {
            let layer = Linear::new(pair[0], pair[1], vb.pp("layers").pp(index))?;
            Ok(if index < last { layer.act(Activation::Relu, structure, vb.pp("act").prefix()) } else { layer })
        };
        Ok(Mlp { layers: widths.windows(2).enumerate().map(layer).collect::<Result<_>>()? })
    }

    /// `x`: […, in]; result: […, out].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x))
    }
}
