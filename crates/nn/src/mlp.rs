use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::{Activation, Linear, Probe};

/// Linear layers with ReLU between them (DETR's box head).
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    act: Probe,
}

impl Mlp {
    /// `layers` layers: in → hidden → … → out.
    pub fn new(input: usize, hidden: usize, output: usize, layers: usize, vb: VarBuilder) -> Result<Mlp> {
        let width = |index: usize| match index {
            0 => input,
            _ if index == layers => output,
            _ => hidden,
        };
        let layers = (0..layers)
            .map(|i| Linear::new(width(i), width(i + 1), vb.pp("layers").pp(i)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Mlp { layers, act: Probe::new(vb.pp("act").prefix()) })
    }

    /// `x`: […, in]; result: […, out].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x)?;
            if index + 1 < self.layers.len() {
                x = Activation::Relu.forward(&self.act, &x)?;
            }
        }
        Ok(x)
    }
}
