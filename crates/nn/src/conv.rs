use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_flops::{Attrs, Kind, Param};
use detrace_kernels::{Plane, Window, depthwise_conv2d};

use crate::{Activation, Facts, Probe, declare};

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
    weight: Tensor,
    bias: Option<Tensor>,
    activation: Option<(Activation, String)>,
    params: Vec<Param>,
    probe: Probe,
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
        let bias = bias.map(|bias| bias.reshape((1, config.output, 1, 1))).transpose()?;
        Ok(Conv2d { config, weight, bias, activation: None, params, probe: Probe::new(path) })
    }

    /// The same convolution with an activation as its last step; `path` is the activation's module.
    pub fn fuse(self, activation: Activation, path: String) -> Conv2d {
        Conv2d { activation: Some((activation, path)), ..self }
    }

    /// `x`: [N, in, H, W]; result: [N, out, H′, W′].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.probe.op(
            Kind::Conv2d,
            || self.run(x),
            |y| {
                let facts = Facts::new(&[x], y).params(&self.params).attrs(self.config.attrs());
                match &self.activation {
                    Some((activation, path)) => {
                        let shape = y.dims().to_vec();
                        facts.fused(path.clone(), activation.kind(), "", vec![shape.clone()], shape)
                    }
                    None => facts,
                }
            },
        )
    }

    fn run(&self, x: &Tensor) -> Result<Tensor> {
        let Conv2dConfig { stride, padding: [top, left, bottom, right], groups, kernel, .. } = self.config;
        let depthwise = groups > 1 && groups == self.config.input && groups == self.config.output;
        let y = if depthwise && x.device().is_cpu() {
            let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: self.config.padding, ceil: false };
            x.contiguous()?.apply_op2_no_bwd(&self.weight.contiguous()?, &Depthwise(window))?
        } else if top == left && top == bottom && top == right {
            x.conv2d(&self.weight, top, stride, 1, groups)?
        } else {
            let padded = x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)?;
            padded.conv2d(&self.weight, 0, stride, 1, groups)?
        };
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        match &self.activation {
            Some((activation, _)) => activation.apply(&y),
            None => Ok(y),
        }
    }
}

/// Depthwise convolution on the CPU, where candle would run one convolution per channel.
struct Depthwise(Window);

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise-conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = x_layout.shape().dims4()?;
        let plane = Plane { batch, channels, height, width };
        let Some((out_height, out_width)) = self.0.output(height, width) else {
            bail!("a {:?} kernel does not fit an image of {height}x{width}", self.0.kernel);
        };
        let y = depthwise_conv2d(slice(x, x_layout)?, slice(w, w_layout)?, plane, self.0);
        Ok((CpuStorage::F32(y), (batch, channels, out_height, out_width).into()))
    }
}

/// The elements of a contiguous f32 tensor.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a kernel was given a tensor that is not contiguous");
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}
