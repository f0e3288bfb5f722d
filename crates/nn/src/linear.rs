use std::sync::Arc;

use candle_core::{DType, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_flops::{Kind, Param, Structure};
use detrace_kernels::{Act, Algorithm, Conv, ConvShape, Last};

use crate::engine::{Weights, is_ours, with_slice};
use crate::{Activation, Facts, Probe, declare};

/// `y = x Wᵀ + b` on the last dimension, W is out × in; with an activation behind it if it has one.
#[derive(Clone, Debug)]
pub struct Linear {
    product: Product,
    activation: Option<Behind>,
    params: Arc<[Param]>,
    probe: Probe,
}

impl Linear {
    /// A layer with a bias, from `weight` [out, in] and `bias` \[out\].
    pub fn new(in_features: usize, out_features: usize, vb: VarBuilder) -> Result<Linear> {
        let weight = vb.get((out_features, in_features), "weight")?;
        let bias = vb.get(out_features, "bias")?;
        let params = Arc::new([Param::named("weight", weight.dims()), Param::named("bias", bias.dims())]);
        declare(&vb.prefix(), &*params);
        Ok(Linear { product: Product::new(weight, bias)?, activation: None, params, probe: Probe::new(vb.prefix()) })
    }

    /// The same layer with an activation behind it, the module `path`: an operation of its own in the structure as trained,
    /// else the layer's last step.
    pub fn act(self, activation: Activation, structure: Structure, path: String) -> Linear {
        let fused = structure != Structure::Train;
        Linear { activation: Some(Behind { activation, module: Probe::new(path), fused }), ..self }
    }

    /// `x`: […, in]; result: […, out].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let facts = |y: &Tensor| Facts::new(&[x], y).params(&self.params);
        match &self.activation {
            Some(Behind { activation, module, fused: true }) => {
                let run = || self.product.run(x, Some(*activation));
                self.probe
                    .op(Kind::Linear, run, |y| facts(y).step(module, activation.kind(), "", &[y.dims()], y.dims()))
            }
            behind => {
                let y = self.probe.op(Kind::Linear, || self.product.run(x, None), facts)?;
                behind
                    .as_ref()
                    .map_or(Ok(y.clone()), |Behind { activation, module, .. }| activation.forward(module, &y))
            }
        }
    }
}

/// An activation behind a layer.
#[derive(Clone, Debug)]
struct Behind {
    activation: Activation,
    module: Probe,
    /// Whether it is the layer's last step.
    fused: bool,
}

/// A product with a weight, and a bias, without a module's name.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    weights: Weights<Conv>,
    shape: ConvShape,
    /// What it computes in: its weight's.
    dtype: DType,
}

impl Product {
    /// From `weight` [out, in] and `bias` \[out\].
    pub(crate) fn new(weight: Tensor, bias: Tensor) -> Result<Product> {
        let ((output, input), dtype) = (weight.dims2()?, weight.dtype());
        Ok(Product { weights: Weights::new(weight, Some(bias)), shape: ConvShape::linear(input, output), dtype })
    }

    /// `x`: […, in]; result: […, out], after the activation.
    pub(crate) fn run(&self, x: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
        let x = &x.to_dtype(self.dtype)?;
        if !is_ours(x) {
            let source = self.weights.source()?;
            let y = candle_nn::Linear::new(source.weight, source.bias).forward(x)?;
            return activation.map_or(Ok(y.clone()), |activation| activation.apply(&y));
        }
        let conv = self.weights.packed(|weight, bias| Conv::new(self.shape, weight, bias, Algorithm::Direct))?;
        let mut dims = x.dims().to_vec();
        match dims.last_mut() {
            Some(last) if *last == self.shape.input => *last = self.shape.output,
            _ => bail!("{} features go in, not {:?}", self.shape.input, x.dims()),
        }
        let act = activation.map_or(Act::None, Activation::act);
        let y = with_slice(&x.contiguous()?, |x| Ok(conv.rows(x, Last { act, ..Last::default() })))?;
        Tensor::from_vec(y, dims, x.device())
    }
}
