use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

use crate::conv::Coarse;
use crate::{Conv2d, Conv2dConfig, ConvNormConfig, Folded, Maps, Probe, Residual};

/// A 1×1 convolution with its norm folded in, and its activation, of a map upsampled to twice its size (nearest pixels)
/// and a fine map side by side: what depends on the coarse map is computed at its own size and then upsampled.
///
/// `conv([up(a), b]) = up(conv_a(a)) + conv_b(b)`, a quarter of the products with `a`, equal up to rounding.
#[derive(Clone, Debug)]
pub struct UpsampledConv {
    coarse: Conv2d,
    fine: Conv2d,
    probe: Probe,
}

impl UpsampledConv {
    /// From the tensors of the convolution with norm that [`ConvNorm`](crate::ConvNorm) is made of; `channels` of its input
    /// are the coarse map's.
    pub fn new(config: ConvNormConfig, channels: usize, vb: VarBuilder) -> Result<UpsampledConv> {
        let Conv2dConfig { input, output, kernel, stride, padding, groups } = config.conv;
        if (kernel, stride, padding, groups) != (1, 1, [0; 4], 1) || channels > input {
            bail!("{}: only a 1x1 convolution can come before an upsampling", vb.prefix());
        }
        let Folded { weight, bias } = Folded::new(&config, &vb)?;
        let part = |name: &str, first: usize, channels: usize, bias: Option<Tensor>| {
            let path = vb.pp(config.conv_name).pp(name).prefix();
            let weight = weight.narrow(1, first, channels)?.contiguous()?.to_dtype(vb.dtype())?;
            let bias = bias.map(|bias| bias.to_dtype(vb.dtype())).transpose()?;
            Conv2d::from_tensors(Conv2dConfig::same(channels, output, 1, 1), weight, bias, path)
        };
        let coarse = part("coarse", 0, channels, Some(bias))?;
        let fine = part("fine", channels, input - channels, None)?;
        let fine = match config.activation {
            Some(activation) => fine.fuse(activation, vb.pp("act").prefix()),
            None => fine,
        };
        Ok(UpsampledConv { coarse, fine, probe: Probe::new(vb.prefix()) })
    }

    /// `coarse`: [N, Cₐ, H, W]; `fine`: [N, C_b, 2H, 2W]; result: [N, out, 2H, 2W], the residual added to it.
    pub fn forward(&self, coarse: &Tensor, fine: &Tensor, residual: Option<Residual<'_>>) -> Result<Tensor> {
        let sums = self.coarse.forward(coarse)?;
        self.fine.forward_with(&Maps::from(fine), Some(Coarse { sums: &sums, block: &self.probe }), residual)
    }
}
