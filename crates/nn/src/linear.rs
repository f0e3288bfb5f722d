use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_flops::{Kind, Param};
use detrace_kernels::{Algorithm, Conv, ConvShape, Last};

use crate::engine::{Weights, is_ours, with_slice};
use crate::{Facts, Probe, declare};

/// `y = x Wᵀ + b` on the last dimension; W is out × in.
#[derive(Clone, Debug)]
pub struct Linear {
    product: Product,
    params: Vec<Param>,
    probe: Probe,
}

impl Linear {
    /// A layer with a bias, from `weight` [out, in] and `bias` \[out\].
    pub fn new(in_features: usize, out_features: usize, vb: VarBuilder) -> Result<Linear> {
        let weight = vb.get((out_features, in_features), "weight")?;
        let bias = vb.get(out_features, "bias")?;
        let params = vec![Param::named("weight", weight.dims()), Param::named("bias", bias.dims())];
        declare(&vb.prefix(), &params);
        Ok(Linear { product: Product::new(weight, bias)?, params, probe: Probe::new(vb.prefix()) })
    }

    /// `x`: […, in]; result: […, out].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.probe.op(Kind::Linear, || self.product.run(x), |y| Facts::new(&[x], y).params(&self.params))
    }
}

/// A product with a weight, and a bias, without a module's name.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    weights: Weights<Conv>,
    shape: ConvShape,
}

impl Product {
    /// From `weight` [out, in] and `bias` \[out\].
    pub(crate) fn new(weight: Tensor, bias: Tensor) -> Result<Product> {
        let (output, input) = weight.dims2()?;
        Ok(Product { weights: Weights::new(weight, Some(bias)), shape: ConvShape::linear(input, output) })
    }

    /// `x`: […, in]; result: […, out].
    pub(crate) fn run(&self, x: &Tensor) -> Result<Tensor> {
        if !is_ours(x) {
            let source = self.weights.source()?;
            return candle_nn::Linear::new(source.weight, source.bias).forward(x);
        }
        let conv = self.weights.packed(|weight, bias| Conv::new(self.shape, weight, bias, Algorithm::Direct))?;
        let mut dims = x.dims().to_vec();
        match dims.last_mut() {
            Some(last) if *last == self.shape.input => *last = self.shape.output,
            _ => bail!("{} features go in, not {:?}", self.shape.input, x.dims()),
        }
        let y = with_slice(&x.contiguous()?, |x| Ok(conv.rows(x, Last::default())))?;
        Tensor::from_vec(y, dims, x.device())
    }
}
