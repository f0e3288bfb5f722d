use std::sync::Arc;

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_flops::{Attrs, Kind, Param};
use detrace_kernels::Conv;

use crate::engine::Weights;
use crate::{Activation, Facts, Maps, Probe, declare};

mod compute;

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
    /// What it computes in: its weight's.
    dtype: DType,
    form: Form,
    activation: Option<(Activation, Probe)>,
    params: Arc<[Param]>,
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

/// What a convolution's sums start with: the pixels of a map of half the size, each taken for four.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coarse<'a> {
    /// [N, out, H′/2, W′/2].
    pub(crate) sums: &'a Tensor,
    /// The block whose steps `upsample` and `sum` this is.
    pub(crate) block: &'a Probe,
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
        let dtype = weight.dtype();
        let form = match config.groups {
            1 => Form::Dense(Weights::new(weight, bias)),
            groups if groups == config.input && groups == config.output => Form::Depthwise(Weights::new(weight, bias)),
            _ => Form::Grouped(Weights::new(weight, bias)),
        };
        Ok(Conv2d { config, dtype, form, activation: None, params: params.into(), probe: Probe::new(path) })
    }

    /// The same convolution with an activation as its last step; `path` is the activation's module.
    pub fn fuse(self, activation: Activation, path: String) -> Conv2d {
        Conv2d { activation: Some((activation, Probe::new(path))), ..self }
    }

    /// `x`: [N, in, H, W]; result: [N, out, H′, W′].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(&Maps::from(x), None, None)
    }

    /// The same of one or several maps; with sums to start from; with an addition, and an activation of the sum, as last
    /// steps.
    pub(crate) fn forward_with(
        &self,
        x: &Maps,
        coarse: Option<Coarse<'_>>,
        residual: Option<Residual<'_>>,
    ) -> Result<Tensor> {
        self.probe.op(Kind::Conv2d, || self.run(x, coarse, residual), |y| self.facts(x, y, coarse, residual))
    }

    fn facts(&self, x: &Maps, y: &Tensor, coarse: Option<Coarse<'_>>, residual: Option<Residual<'_>>) -> Facts {
        let shape = y.dims();
        let mut facts = Facts::shapes(&[&x.shape()], shape).params(&self.params).attrs(self.config.attrs());
        if let Some(Coarse { sums, block }) = coarse {
            facts = facts.step(block, Kind::Interpolate, "upsample", &[sums.dims()], shape).step(
                block,
                Kind::Add,
                "sum",
                &[shape, shape],
                shape,
            );
        }
        if let Some((activation, module)) = &self.activation {
            facts = facts.step(module, activation.kind(), "", &[shape], shape);
        }
        let Some(Residual { tensor, block, act }) = residual else { return facts };
        facts = facts.step(block, Kind::Add, "residual", &[shape, tensor.dims()], shape);
        match act {
            Some((activation, module)) => facts.step(module, activation.kind(), "", &[shape], shape),
            None => facts,
        }
    }
}
