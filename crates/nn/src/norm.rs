use std::sync::Arc;

use candle_core::{D, DType, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_flops::{Attrs, Kind, Param};
use detrace_kernels::layer_norm;

use crate::engine::{channels_first, channels_last, is_ours, with_slice};
use crate::{Facts, Probe, declare};

/// ε of every norm in RT-DETR.
pub(crate) const EPS: f64 = 1e-5;

/// Batch norm at inference: a scale and a shift per channel, from learned ones and running statistics. It computes in f32
/// and gives the number type of its builder.
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    scale: Tensor,
    shift: Tensor,
    params: Arc<[Param]>,
    frozen: bool,
    dtype: DType,
    probe: Probe,
}

/// The scale and shift per channel, each \[C\], in f32, that a batch norm amounts to at inference.
pub(crate) fn scale_and_shift(channels: usize, vb: &VarBuilder) -> Result<(Tensor, Tensor)> {
    let vb = vb.to_dtype(DType::F32);
    let get = |name| vb.get(channels, name);
    let (weight, bias, mean, var) = (get("weight")?, get("bias")?, get("running_mean")?, get("running_var")?);
    let scale = (weight / (var + EPS)?.sqrt()?)?;
    let shift = (bias - (mean * &scale)?)?;
    Ok((scale, shift))
}

impl BatchNorm2d {
    /// From `weight`, `bias`, `running_mean` and `running_var`, each \[channels\]. `frozen`: the affine parameters were not
    /// trained, so that PyTorch tools see buffers.
    pub fn new(channels: usize, frozen: bool, vb: VarBuilder) -> Result<BatchNorm2d> {
        let (scale, shift) = scale_and_shift(channels, &vb)?;
        let params =
            Arc::new(["weight", "bias", "running_mean", "running_var"].map(|name| Param::named(name, &[channels])));
        declare(&vb.prefix(), &*params);
        let shape = (1, channels, 1, 1);
        Ok(BatchNorm2d {
            scale: scale.reshape(shape)?,
            shift: shift.reshape(shape)?,
            params,
            frozen,
            dtype: vb.dtype(),
            probe: Probe::new(vb.prefix()),
        })
    }

    /// `x`: [N, C, H, W]; result of the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.probe.op(
            Kind::BatchNorm,
            || self.apply(x),
            |y| Facts::new(&[x], y).params(&self.params).attrs(Attrs { frozen: self.frozen, ..Attrs::default() }),
        )
    }
}

impl BatchNorm2d {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let x = &x.to_dtype(DType::F32)?;
        if x.is_contiguous() {
            return x.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)?.to_dtype(self.dtype);
        }
        let row = |tensor: &Tensor| tensor.flatten_all();
        channels_first(&channels_last(x)?.broadcast_mul(&row(&self.scale)?)?.broadcast_add(&row(&self.shift)?)?)
    }
}

/// Layer norm over the last dimension. It computes in f32, the sum with a residual as well, and gives the number type of its
/// builder.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    inner: candle_nn::LayerNorm,
    epsilon: f32,
    params: Arc<[Param]>,
    dtype: DType,
    probe: Probe,
}

impl LayerNorm {
    /// From `weight` and `bias`, each \[channels\].
    pub fn new(channels: usize, vb: VarBuilder) -> Result<LayerNorm> {
        let wide = vb.to_dtype(DType::F32);
        let (weight, bias) = (wide.get(channels, "weight")?, wide.get(channels, "bias")?);
        let params = Arc::new(["weight", "bias"].map(|name| Param::named(name, &[channels])));
        declare(&vb.prefix(), &*params);
        Ok(LayerNorm {
            inner: candle_nn::LayerNorm::new(weight, bias, EPS),
            epsilon: EPS as f32,
            params,
            dtype: vb.dtype(),
            probe: Probe::new(vb.prefix()),
        })
    }

    /// `x`: […, C]; result of the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.probe.op(Kind::LayerNorm, || self.apply(x, None), |y| Facts::new(&[x], y).params(&self.params))
    }

    /// The norm of `x + residual`, which is the block's addition with that role and part of the same operation.
    pub fn forward_sum(&self, x: &Tensor, residual: &Tensor, block: &Probe, role: &'static str) -> Result<Tensor> {
        let run = || self.apply(x, Some(residual));
        self.probe.op(Kind::LayerNorm, run, |y| {
            let inputs = [x.dims(), residual.dims()];
            Facts::new(&[x], y).params(&self.params).step(block, Kind::Add, role, &inputs, x.dims())
        })
    }

    fn apply(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let (weight, Some(bias)) = (self.inner.weight(), self.inner.bias()) else {
            bail!("{}: a layer norm without a bias", self.probe.path());
        };
        let same = residual.is_none_or(|residual| residual.shape() == x.shape() && is_ours(residual));
        if !is_ours(x) || !same || x.dim(D::Minus1)? != weight.elem_count() {
            let wide = |x: &Tensor| x.to_dtype(DType::F32);
            let y = match residual {
                Some(residual) => self.inner.forward(&(wide(x)? + wide(residual)?)?),
                None => self.inner.forward(&wide(x)?),
            };
            return y?.to_dtype(self.dtype);
        }
        let norm = |x: &[f32], residual: Option<&[f32]>| {
            with_slice(weight, |weight| {
                with_slice(bias, |bias| Ok(layer_norm(x, residual, weight, bias, self.epsilon)))
            })
        };
        let y = with_slice(&x.contiguous()?, |x| match residual {
            Some(residual) => with_slice(&residual.contiguous()?, |residual| norm(x, Some(residual))),
            None => norm(x, None),
        })?;
        Tensor::from_vec(y, x.shape(), x.device())
    }
}
