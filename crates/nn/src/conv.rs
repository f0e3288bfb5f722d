use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_flops::{Attrs, Kind, Param};
use detrace_kernels::{Act, Algorithm, Conv, ConvShape, Images, Last, Order, Plane, Window, depthwise_conv2d};

use crate::engine::{Source, Weights, add_maps, channels_first, channels_last, is_ours, with_slice};
use crate::{Activation, Facts, Probe, declare, planar};

/// What shapes a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Channels in.
    pub input: usize,
    /// Channels out.
    pub output: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Step.
    pub stride: usize,
    /// Padding: top, left, bottom, right. Asymmetric padding is part of the convolution.
    pub padding: [usize; 4],
    /// Groups; as many as channels is a depthwise convolution.
    pub groups: usize,
}

impl Conv2dConfig {
    /// A convolution whose output has the input's size over `stride`: padding (kernel − 1) / 2 on all sides.
    pub fn same(input: usize, output: usize, kernel: usize, stride: usize) -> Conv2dConfig {
        Conv2dConfig { input, output, kernel, stride, padding: [(kernel - 1) / 2; 4], groups: 1 }
    }

    /// The shape of its weight: out, in / groups, kernel, kernel.
    pub fn weight(&self) -> (usize, usize, usize, usize) {
        (self.output, self.input / self.groups, self.kernel, self.kernel)
    }

    fn attrs(&self) -> Attrs {
        Attrs {
            kernel: Some([self.kernel; 2]),
            stride: Some([self.stride; 2]),
            padding: Some(self.padding),
            groups: Some(self.groups),
            frozen: false,
        }
    }
}

/// A 2-D convolution, with an activation in the same operation if it is fused.
#[derive(Clone, Debug)]
pub struct Conv2d {
    config: Conv2dConfig,
    form: Form,
    activation: Option<(Activation, String)>,
    params: Vec<Param>,
    probe: Probe,
}

#[derive(Clone, Debug)]
enum Form {
    Dense(Weights<Conv>),
    Depthwise(Weights<Depthwise>),
    Grouped(Weights<()>),
}

/// Weights kh × kw × C and biases.
#[derive(Debug)]
struct Depthwise {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// What a convolution adds to its result, and the block that it does this for.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// [N, out, H′, W′].
    pub tensor: &'a Tensor,
    /// The block whose addition it is, with the role `residual`.
    pub block: &'a Probe,
    /// The activation of the sum, and its module.
    pub act: Option<(Activation, &'a Probe)>,
}

impl Conv2d {
    /// A convolution without bias, from `weight` [out, in / groups, kernel, kernel].
    pub fn new(config: Conv2dConfig, vb: VarBuilder) -> Result<Conv2d> {
        let weight = vb.get(config.weight(), "weight")?;
        Conv2d::from_tensors(config, weight, None, vb.prefix())
    }

    /// A convolution with a bias, from `weight` and `bias` \[out\].
    pub fn with_bias(config: Conv2dConfig, vb: VarBuilder) -> Result<Conv2d> {
        let weight = vb.get(config.weight(), "weight")?;
        let bias = vb.get(config.output, "bias")?;
        Conv2d::from_tensors(config, weight, Some(bias), vb.prefix())
    }

    /// A convolution from tensors at hand (merged or folded ones), known as the module `path`.
    pub fn from_tensors(config: Conv2dConfig, weight: Tensor, bias: Option<Tensor>, path: String) -> Result<Conv2d> {
        if weight.dims4()? != config.weight() {
            bail!("{path}: the weight is {:?}, not {:?}", weight.dims(), config.weight());
        }
        let mut params = vec![Param::named("weight", weight.dims())];
        params.extend(bias.as_ref().map(|bias| Param::named("bias", bias.dims())));
        declare(&path, &params);
        let form = match config.groups {
            1 => Form::Dense(Weights::new(weight, bias)),
            groups if groups == config.input && groups == config.output => Form::Depthwise(Weights::new(weight, bias)),
            _ => Form::Grouped(Weights::new(weight, bias)),
        };
        Ok(Conv2d { config, form, activation: None, params, probe: Probe::new(path) })
    }

    /// The same convolution with an activation as its last step; `path` is the activation's module.
    pub fn fuse(self, activation: Activation, path: String) -> Conv2d {
        Conv2d { activation: Some((activation, path)), ..self }
    }

    /// `x`: [N, in, H, W]; result: [N, out, H′, W′].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.probe.op(Kind::Conv2d, || self.run(x, None), |y| self.facts(x, y))
    }

    /// The same with an addition, and an activation of the sum, as last steps.
    pub fn forward_residual(&self, x: &Tensor, residual: Residual<'_>) -> Result<Tensor> {
        let Residual { tensor, block, act } = residual;
        let run = || self.run(x, Some((tensor, act.map(|(activation, _)| activation))));
        self.probe.op(Kind::Conv2d, run, |y| {
            let shape = || y.dims().to_vec();
            let inputs = vec![shape(), tensor.dims().to_vec()];
            let facts = self.facts(x, y).step(block, Kind::Add, "residual", inputs, shape());
            match act {
                Some((activation, probe)) => {
                    facts.fused(probe.path().to_owned(), activation.kind(), "", vec![shape()], shape())
                }
                None => facts,
            }
        })
    }

    fn facts(&self, x: &Tensor, y: &Tensor) -> Facts {
        let facts = Facts::new(&[x], y).params(&self.params).attrs(self.config.attrs());
        match &self.activation {
            Some((activation, path)) => {
                let shape = y.dims().to_vec();
                facts.fused(path.clone(), activation.kind(), "", vec![shape.clone()], shape)
            }
            None => facts,
        }
    }

    /// `residual`: what to add, and the activation of the sum.
    fn run(&self, x: &Tensor, residual: Option<(&Tensor, Option<Activation>)>) -> Result<Tensor> {
        let inner = self.activation.as_ref().map(|(activation, _)| *activation);
        let y = match (&self.form, residual) {
            (Form::Dense(weights), None) if is_ours(x) => {
                return self.dense(weights, x, None, Order::AddFirst, inner);
            }
            (Form::Dense(weights), Some((tensor, act))) if is_ours(x) && inner.is_none() => {
                return self.dense(weights, x, Some(tensor), Order::AddFirst, act);
            }
            (Form::Dense(weights), Some((tensor, None))) if is_ours(x) => {
                return self.dense(weights, x, Some(tensor), Order::ActFirst, inner);
            }
            (Form::Depthwise(weights), _) if is_ours(x) => self.depthwise(weights, x, inner)?,
            _ if x.device().is_cuda() => self.cuda(x, inner)?,
            _ => {
                let y = self.candle(x)?;
                inner.map_or(Ok(y.clone()), |inner| inner.apply(&y))?
            }
        };
        let Some((tensor, act)) = residual else { return Ok(y) };
        let sum = add_maps(&y, tensor)?;
        act.map_or(Ok(sum.clone()), |act| act.apply(&sum))
    }

    fn dense(
        &self,
        weights: &Weights<Conv>,
        x: &Tensor,
        residual: Option<&Tensor>,
        order: Order,
        act: Option<Activation>,
    ) -> Result<Tensor> {
        let Conv2dConfig { input, output, kernel, stride, padding, .. } = self.config;
        let shape = ConvShape { input, output, kernel: [kernel; 2], stride: [stride; 2], padding };
        let conv = weights.packed(|weight, bias| Conv::new(shape, weight, bias, Algorithm::Auto))?;
        let (batch, channels, height, width) = x.dims4()?;
        let [out_height, out_width] = shape.over([height, width]);
        self.fits(channels, out_height.min(out_width) > 0, x)?;
        let x = channels_last(x)?;
        let residual = residual.map(channels_last).transpose()?;
        let act = act.map_or(Act::None, Activation::act);
        let y = with_slice(&x, |x| {
            let images = Images { data: x, batch, size: [height, width] };
            match &residual {
                None => Ok(conv.forward(images, Last { act, residual: None, order })),
                Some(residual) if residual.elem_count() != batch * out_height * out_width * output => {
                    bail!("{}: what is added is {:?}", self.probe.path(), residual.dims())
                }
                Some(residual) => with_slice(residual, |residual| {
                    Ok(conv.forward(images, Last { act, residual: Some(residual), order }))
                }),
            }
        })?;
        channels_first(&Tensor::from_vec(y, (batch, out_height, out_width, output), x.device())?)
    }

    fn depthwise(&self, weights: &Weights<Depthwise>, x: &Tensor, act: Option<Activation>) -> Result<Tensor> {
        let Conv2dConfig { kernel, stride, padding, .. } = self.config;
        let (batch, channels, height, width) = x.dims4()?;
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding, ceil: false };
        let size = window.output(height, width);
        self.fits(channels, size.is_some(), x)?;
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
    fn fits(&self, channels: usize, fits: bool, x: &Tensor) -> Result<()> {
        let Conv2dConfig { input, kernel, .. } = self.config;
        if channels != input {
            bail!("{}: {input} channels go in, not {channels}", self.probe.path());
        }
        if !fits {
            bail!("{}: a {kernel}x{kernel} kernel does not fit an image of {:?}", self.probe.path(), x.dims());
        }
        Ok(())
    }

    /// On CUDA: candle's convolution, but for depthwise ones; then bias and activation in one kernel.
    fn cuda(&self, x: &Tensor, act: Option<Activation>) -> Result<Tensor> {
        let Conv2dConfig { output, kernel, stride, padding, .. } = self.config;
        let Source { weight, bias } = self.source()?;
        let act = act.map_or(Act::None, Activation::act);
        if let Form::Depthwise(_) = self.form {
            let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding, ceil: false };
            self.fits(x.dim(1)?, window.output(x.dim(2)?, x.dim(3)?).is_some(), x)?;
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
