//! How a convolution computes: by our kernels on channels-last maps, by those for planar maps, or by candle's.

use candle_core::{DType, Result, Tensor, bail};
use detrace_kernels::{Act, Algorithm, Conv, ConvShape, Images, Last, Order, Plane, Window, depthwise_conv2d};

use super::{Coarse, Conv2d, Conv2dConfig, Depthwise, Form, Residual};
use crate::engine::{
    Source, Weights, add_maps, channels_first, channels_last, is_ours, is_planar, with_slice, with_slices,
};
use crate::ops::doubled;
use crate::{Activation, Maps, planar};

impl Conv2d {
    pub(super) fn run(&self, x: &Maps, coarse: Option<Coarse<'_>>, residual: Option<Residual<'_>>) -> Result<Tensor> {
        let inner = self.activation.as_ref().map(|(activation, _)| *activation);
        let behind = residual.and_then(|residual| residual.act).map(|(activation, _)| activation);
        match &self.form {
            // One activation is a last step, before the addition or after it.
            Form::Dense(weights)
                if self.dtype == DType::F32 && x.are_ours() && (inner.is_none() || behind.is_none()) =>
            {
                let order = if inner.is_some() { Order::ActFirst } else { Order::AddFirst };
                let act = inner.or(behind).map_or(Act::None, Activation::act);
                return self.dense(weights, x, coarse, residual, (act, order));
            }
            _ => {}
        }
        let x = &x.whole()?.to_dtype(self.dtype)?;
        let y = match coarse {
            None => self.alone(x, inner)?,
            Some(Coarse { sums, .. }) => {
                let y = add_maps(&self.alone(x, None)?, &doubled(sums)?)?;
                inner.map_or(Ok(y.clone()), |inner| inner.apply(&y))?
            }
        };
        let Some(Residual { tensor, .. }) = residual else { return Ok(y) };
        let sum = add_maps(&y, tensor)?;
        behind.map_or(Ok(sum.clone()), |act| act.apply(&sum))
    }

    /// One map, one activation.
    fn alone(&self, x: &Tensor, act: Option<Activation>) -> Result<Tensor> {
        match &self.form {
            Form::Depthwise(weights) if is_ours(x) => self.depthwise(weights, x, act),
            _ if is_planar(x) => self.planar(x, act),
            _ => {
                let y = self.candle(x)?;
                act.map_or(Ok(y.clone()), |act| act.apply(&y))
            }
        }
    }

    fn dense(
        &self,
        weights: &Weights<Conv>,
        x: &Maps,
        coarse: Option<Coarse<'_>>,
        residual: Option<Residual<'_>>,
        (act, order): (Act, Order),
    ) -> Result<Tensor> {
        let Conv2dConfig { input, output, kernel, stride, padding, .. } = self.config;
        let shape = ConvShape { input, output, kernel: [kernel; 2], stride: [stride; 2], padding };
        let [batch, channels, height, width] = x.shape()[..] else { bail!("{}: not a map", self.probe.path()) };
        let size = [height, width];
        let algorithm = Algorithm::For { batch, size };
        let conv = weights.packed(|weight, bias| Conv::new(shape, weight, bias, algorithm))?;
        let [out_height, out_width] = shape.over(size);
        self.fits(channels, out_height.min(out_width) > 0, &x.shape())?;
        let result = [batch, output, out_height, out_width];
        let extra = |what: &str, map: Option<&Tensor>, wanted: [usize; 4]| match map {
            Some(map) if map.dims() != wanted => {
                bail!("{}: the {what} is {:?}, not {wanted:?}", self.probe.path(), map.dims())
            }
            map => map.map(channels_last).transpose(),
        };
        let half = [batch, output, out_height.div_ceil(2), out_width.div_ceil(2)];
        if coarse.is_some() && out_height % 2 + out_width % 2 > 0 {
            bail!("{}: a map of {out_height}x{out_width} is not twice the size of another", self.probe.path());
        }
        let coarse = extra("coarse map", coarse.map(|coarse| coarse.sums), half)?;
        let residual = extra("residual", residual.map(|residual| residual.tensor), result)?;
        let mut maps = x.parts().iter().map(channels_last).collect::<Result<Vec<_>>>()?;
        let (parts, has_coarse) = (maps.len(), coarse.is_some());
        maps.extend(coarse);
        maps.extend(residual);
        let y = with_slices(&maps, |slices| {
            let (images, extras) = slices.split_at(parts);
            let parts: Vec<(Images<'_>, usize)> =
                images.iter().zip(&maps).map(|(data, map)| (Images { data, batch, size }, map.dims()[3])).collect();
            let (coarse, residual) = extras.split_at(usize::from(has_coarse));
            let (coarse, residual) = (coarse.first().copied(), residual.first().copied());
            Ok(conv.forward_parts(&parts, Last { act, residual, order, coarse }))
        })?;
        channels_first(&Tensor::from_vec(y, (batch, out_height, out_width, output), maps[0].device())?)
    }

    fn depthwise(&self, weights: &Weights<Depthwise>, x: &Tensor, act: Option<Activation>) -> Result<Tensor> {
        let Conv2dConfig { kernel, stride, padding, .. } = self.config;
        let (batch, channels, height, width) = x.dims4()?;
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding, ceil: false };
        let size = window.output(height, width);
        self.fits(channels, size.is_some(), x.dims())?;
        let weights = weights.packed(|weight, bias| {
            let taps = kernel * kernel;
            let weight = (0..taps * channels).map(|at| weight[at % channels * taps + at / channels]).collect();
            Depthwise { weight, bias: bias.map_or_else(|| vec![0.0; channels], <[f32]>::to_vec) }
        })?;
        let x = channels_last(x)?;
        let plane = Plane { batch, channels, height, width };
        let act = act.map_or(Act::None, Activation::act);
        let y = with_slice(&x, |x| Ok(depthwise_conv2d(x, &weights.weight, &weights.bias, act, plane, window)))?;
        let (height, width) = size.unwrap_or_default();
        channels_first(&Tensor::from_vec(y, (batch, height, width, channels), x.device())?)
    }

    /// Refuses an image that the convolution cannot take.
    fn fits(&self, channels: usize, fits: bool, x: &[usize]) -> Result<()> {
        let Conv2dConfig { input, kernel, .. } = self.config;
        if channels != input {
            bail!("{}: {input} channels go in, not {channels}", self.probe.path());
        }
        if !fits {
            bail!("{}: a {kernel}x{kernel} kernel does not fit an image of {x:?}", self.probe.path());
        }
        Ok(())
    }

    /// candle's convolution, but for depthwise ones; then bias and activation in one kernel.
    fn planar(&self, x: &Tensor, act: Option<Activation>) -> Result<Tensor> {
        let Conv2dConfig { output, kernel, stride, padding, .. } = self.config;
        let Source { weight, bias } = self.source()?;
        let act = act.map_or(Act::None, Activation::act);
        if let Form::Depthwise(_) = self.form {
            let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding, ceil: false };
            self.fits(x.dim(1)?, window.output(x.dim(2)?, x.dim(3)?).is_some(), x.dims())?;
            let bias = bias.map_or_else(|| Tensor::zeros(output, x.dtype(), x.device()), Ok)?;
            return planar::depthwise(x, &weight, &bias, window, act);
        }
        let y = self.products(x, &weight)?;
        match (bias, act) {
            (None, Act::None) => Ok(y),
            (bias, act) => {
                let bias = bias.map_or_else(|| Tensor::zeros(output, x.dtype(), x.device()), Ok)?;
                planar::bias_act(&y, &bias, act)
            }
        }
    }

    /// By candle's own kernels.
    fn candle(&self, x: &Tensor) -> Result<Tensor> {
        let Source { weight, bias } = self.source()?;
        let y = self.products(x, &weight)?;
        match bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, self.config.output, 1, 1))?),
            None => Ok(y),
        }
    }

    /// candle's convolution, without a bias.
    fn products(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let Conv2dConfig { stride, padding: [top, left, bottom, right], groups, .. } = self.config;
        if top == left && top == bottom && top == right {
            return x.conv2d(weight, top, stride, 1, groups);
        }
        let padded = x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)?;
        padded.conv2d(weight, 0, stride, 1, groups)
    }

    fn source(&self) -> Result<Source> {
        match &self.form {
            Form::Dense(weights) => weights.source(),
            Form::Depthwise(weights) => weights.source(),
            Form::Grouped(weights) => weights.source(),
        }
    }
}
