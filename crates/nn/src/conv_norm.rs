use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use detrace_flops::Structure;

use crate::norm::scale_and_shift;
use crate::{Activation, BatchNorm2d, Conv2d, Conv2dConfig, Maps, Probe, Residual};

/// What shapes a convolution with its norm and activation.
#[derive(Clone, Copy, Debug)]
pub struct ConvNormConfig {
    /// The convolution, which has no bias.
    pub conv: Conv2dConfig,
    /// The convolution's name below the block: `conv`, or `conv.1` where the original pads in a module of its own.
    pub conv_name: &'static str,
    /// The norm's name below the block: `norm` or `bn`.
    pub norm_name: &'static str,
    /// Whether the norm's affine parameters are frozen.
    pub frozen: bool,
    /// The activation, named `act` below the block.
    pub activation: Option<Activation>,
}

impl ConvNormConfig {
    /// A trained norm named `norm` and no activation.
    pub fn new(conv: Conv2dConfig) -> ConvNormConfig {
        ConvNormConfig { conv, conv_name: "conv", norm_name: "norm", frozen: false, activation: None }
    }

    /// The same with an activation.
    pub fn act(self, activation: Activation) -> ConvNormConfig {
        ConvNormConfig { activation: Some(activation), ..self }
    }

    /// The same with a norm that was frozen in training.
    pub fn frozen(self, frozen: bool) -> ConvNormConfig {
        ConvNormConfig { frozen, ..self }
    }
}

/// Convolution, batch norm, activation.
#[derive(Clone, Debug)]
pub struct ConvNorm(Form);

#[derive(Clone, Debug)]
enum Form {
    Apart { conv: Conv2d, norm: BatchNorm2d, act: Option<(Activation, Probe)> },
    Folded(Conv2d),
}

/// A convolution with its norm folded in, in f32: weight [out, in / groups, k, k] and bias \[out\].
#[derive(Clone, Debug)]
pub struct Folded {
    /// Weight times the norm's scale.
    pub weight: Tensor,
    /// The norm's shift.
    pub bias: Tensor,
}

impl Folded {
    /// Folds the norm of the block at `vb` into its convolution.
    pub fn new(config: &ConvNormConfig, vb: &VarBuilder) -> Result<Folded> {
        let (conv, vb) = (config.conv, &vb.to_dtype(DType::F32));
        let weight =
            config.conv_name.split('.').fold(vb.clone(), |vb, name| vb.pp(name)).get(conv.weight(), "weight")?;
        let (scale, shift) = scale_and_shift(conv.output, &vb.pp(config.norm_name))?;
        Ok(Folded { weight: weight.broadcast_mul(&scale.reshape((conv.output, 1, 1, 1))?)?, bias: shift })
    }

    /// The convolution, which is the module `path` and computes in that type.
    pub fn conv(&self, config: Conv2dConfig, dtype: DType, path: String) -> Result<Conv2d> {
        Conv2d::from_tensors(config, self.weight.to_dtype(dtype)?, Some(self.bias.to_dtype(dtype)?), path)
    }
}

impl ConvNorm {
    /// From `conv.weight` and the norm's tensors below `vb`.
    pub fn new(config: ConvNormConfig, structure: Structure, vb: VarBuilder) -> Result<ConvNorm> {
        let conv_vb = config.conv_name.split('.').fold(vb.clone(), |vb, name| vb.pp(name));
        let act_path = vb.pp("act").prefix();
        Ok(ConvNorm(match structure {
            Structure::Train => Form::Apart {
                conv: Conv2d::new(config.conv, conv_vb)?,
                norm: BatchNorm2d::new(config.conv.output, config.frozen, vb.pp(config.norm_name))?,
                act: config.activation.map(|activation| (activation, Probe::module(act_path))),
            },
            Structure::Deploy | Structure::Fast => {
                let conv = Folded::new(&config, &vb)?.conv(config.conv, vb.dtype(), conv_vb.prefix())?;
                Form::Folded(match config.activation {
                    Some(activation) => conv.fuse(activation, act_path),
                    None => conv,
                })
            }
        }))
    }

    /// `x`: [N, in, H, W]; result: [N, out, H′, W′].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_maps(&Maps::from(x), None)
    }

    /// The same of one or several maps, with an addition, and an activation of the sum, as the block's last operations;
    /// where the norm is folded they are the convolution's last steps.
    pub fn forward_maps(&self, x: &Maps, residual: Option<Residual<'_>>) -> Result<Tensor> {
        let (conv, norm, act) = match &self.0 {
            Form::Folded(conv) => return conv.forward_with(x, None, residual),
            Form::Apart { conv, norm, act } => (conv, norm, act),
        };
        let mut y = norm.forward(&conv.forward_with(x, None, None)?)?;
        if let Some((activation, probe)) = act {
            y = activation.forward(probe, &y)?;
        }
        let Some(Residual { tensor, block, act }) = residual else { return Ok(y) };
        let sum = block.add("residual", &y, tensor)?;
        match act {
            Some((activation, probe)) => activation.forward(probe, &sum),
            None => Ok(sum),
        }
    }
}
