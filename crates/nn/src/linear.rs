use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use detrace_flops::{Kind, Param};

use crate::{Facts, Probe, declare};

/// `y = x Wᵀ + b` on the last dimension; W is out × in.
#[derive(Clone, Debug)]
pub struct Linear {
    inner: candle_nn::Linear,
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
        Ok(Linear { inner: candle_nn::Linear::new(weight, Some(bias)), params, probe: Probe::new(vb.prefix()) })
    }

    /// `x`: […, in]; result: […, out].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.probe.op(Kind::Linear, || self.inner.forward(x), |y| Facts::new(&[x], y).params(&self.params))
    }
}
