use candle_core::{DType, Result, Tensor, bail};
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
    /// are the coarse map's. `before`: a 1×1 convolution that the fine map would go through first, merged into this one.
    pub fn new(
        config: ConvNormConfig,
        channels: usize,
        before: Option<&Folded>,
        vb: VarBuilder,
    ) -> Result<UpsampledConv> {
        let Conv2dConfig { input, output, kernel, stride, padding, groups } = config.conv;
        if (kernel, stride, padding, groups) != (1, 1, [0; 4], 1) || channels > input {
            bail!("{}: only a 1x1 convolution can come before an upsampling", vb.prefix());
        }
        let Folded { weight, bias } = Folded::new(&config, &vb)?;
        let coarse = weight.narrow(1, 0, channels)?.contiguous()?;
        let fine = weight.narrow(1, channels, input - channels)?.contiguous()?;
        let (fine, bias) = match before {
            Some(before) => merged(&fine, &bias, before)?,
            None => (fine, bias),
        };
        let part = |name: &str, weight: Tensor, bias: Option<Tensor>| {
            let path = vb.pp(config.conv_name).pp(name).prefix();
            let (config, dtype) = (Conv2dConfig::same(weight.dim(1)?, output, 1, 1), vb.dtype());
            let bias = bias.map(|bias| bias.to_dtype(dtype)).transpose()?;
            Conv2d::from_tensors(config, weight.to_dtype(dtype)?, bias, path)
        };
        let coarse = part("coarse", coarse, Some(bias))?;
        let fine = part("fine", fine, None)?;
        let fine = match config.activation {
            Some(activation) => fine.fuse(activation, vb.pp("act").prefix()),
            None => fine,
        };
        Ok(UpsampledConv { coarse, fine, probe: Probe::new(vb.prefix()) })
    }

    /// `coarse`: [N, Cₐ, H, W]; `fine`: [N, C_b, 2H, 2W]; result: [N, out, 2H, 2W], the residual added to it.
    ///
    /// # Errors
    /// If one map is not twice the other's size.
    pub fn forward(&self, coarse: &Tensor, fine: &Tensor, residual: Option<Residual<'_>>) -> Result<Tensor> {
        let sums = self.coarse.forward(coarse)?;
        self.fine.forward_with(&Maps::from(fine), Some(Coarse { sums: &sums, block: &self.probe }), residual)
    }
}

/// Two 1×1 convolutions behind each other as one: `weight` [out, C, 1, 1] and `bias` after `before`. Products are computed in
/// f64 and rounded once.
fn merged(weight: &Tensor, bias: &Tensor, before: &Folded) -> Result<(Tensor, Tensor)> {
    let matrix = |weight: &Tensor| weight.flatten_from(1)?.to_dtype(DType::F64);
    let (second, first) = (matrix(weight)?, matrix(&before.weight)?);
    let product = second.matmul(&first)?.unsqueeze(2)?.unsqueeze(3)?;
    let shift = second.matmul(&before.bias.to_dtype(DType::F64)?.unsqueeze(1)?)?.squeeze(1)?;
    Ok((product.to_dtype(weight.dtype())?, (bias.to_dtype(DType::F64)? + shift)?.to_dtype(bias.dtype())?))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::Device;

    use super::*;
    use crate::{Activation, ConvNorm, Structure};

    const CHANNELS: usize = 5;
    const OUTPUT: usize = 7;

    fn numbers(seed: usize, shape: &[usize], dtype: DType) -> Tensor {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| ((i + seed) * 37 % 101) as f32 / 50.0 - 1.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).and_then(|x| x.to_dtype(dtype)).expect("a tensor")
    }

    /// Tensors of a convolution with norm below a name.
    fn tensors(name: &str, input: usize, output: usize, dtype: DType) -> Vec<(String, Tensor)> {
        let named = |part: &str, shape: &[usize]| (format!("{name}.{part}"), numbers(part.len() + input, shape, dtype));
        let (_, variance) = named("", &[output]);
        vec![
            named("conv.weight", &[output, input, 1, 1]),
            named("norm.weight", &[output]),
            named("norm.bias", &[output]),
            named("norm.running_mean", &[output]),
            (format!("{name}.norm.running_var"), (variance.abs().expect("positive") + 0.5).expect("more")),
        ]
    }

    fn config(input: usize) -> ConvNormConfig {
        ConvNormConfig::new(Conv2dConfig::same(input, OUTPUT, 1, 1)).act(Activation::Silu)
    }

    /// What is computed before the upsampling, and with the projection in it, is what the separate operations give: by our
    /// kernels in f32, by candle's in f64.
    #[test]
    fn it_is_the_convolution_of_both_maps_side_by_side() {
        for (dtype, bound) in [(DType::F32, 1e-5), (DType::F64, 1e-6)] {
            let of = |name, input, output| tensors(name, input, output, dtype);
            let all = [of("fuse", 2 * CHANNELS, OUTPUT), of("project", 3, CHANNELS)].concat();
            let vb = VarBuilder::from_tensors(all.into_iter().collect::<HashMap<_, _>>(), dtype, &Device::Cpu);
            let (coarse, wide) = (numbers(1, &[2, CHANNELS, 3, 2], dtype), numbers(2, &[2, CHANNELS, 6, 4], dtype));
            let (narrow, added) = (numbers(3, &[2, 3, 6, 4], dtype), numbers(4, &[2, OUTPUT, 6, 4], dtype));
            let block = Probe::new("block");
            let residual = Residual { tensor: &added, block: &block, act: None };
            let plain = ConvNorm::new(config(2 * CHANNELS), Structure::Deploy, vb.pp("fuse")).expect("it fits");
            let project = ConvNormConfig::new(Conv2dConfig::same(3, CHANNELS, 1, 1));
            let projection = ConvNorm::new(project, Structure::Deploy, vb.pp("project")).expect("it fits");
            let before = Folded::new(&project, &vb.pp("project")).expect("it fits");
            let projected = projection.forward(&narrow).expect("a map");
            for (before, fine, seen) in [(None, &wide, &wide), (Some(&before), &narrow, &projected)] {
                let conv = UpsampledConv::new(config(2 * CHANNELS), CHANNELS, before, vb.pp("fuse")).expect("it fits");
                let upsampled = coarse.upsample_nearest2d(6, 4).expect("twice the size");
                let both = Maps::from(&Tensor::cat(&[&upsampled, seen], 1).expect("side by side"));
                for residual in [None, Some(residual)] {
                    let got = conv.forward(&coarse, fine, residual).expect("a map");
                    let want = plain.forward_maps(&both, residual).expect("a map");
                    let apart =
                        (got - want).and_then(|apart| apart.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar());
                    assert!(apart.is_ok_and(|apart: f64| apart <= bound), "{dtype:?} {}", before.is_some());
                }
            }
        }
    }

    #[test]
    fn maps_that_do_not_fit_are_refused() {
        let vb = VarBuilder::from_tensors(
            tensors("fuse", 2 * CHANNELS, OUTPUT, DType::F32).into_iter().collect(),
            DType::F32,
            &Device::Cpu,
        );
        let conv = UpsampledConv::new(config(2 * CHANNELS), CHANNELS, None, vb.pp("fuse")).expect("it fits");
        let coarse = numbers(1, &[1, CHANNELS, 3, 2], DType::F32);
        for (width, message) in
            [(5, "a map of 6x5 is not twice"), (6, "the coarse map is [1, 7, 3, 2], not [1, 7, 3, 3]")]
        {
            let fine = numbers(2, &[1, CHANNELS, 6, width], DType::F32);
            let error = conv.forward(&coarse, &fine, None).expect_err("not twice two");
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
