//! Efficient hybrid encoder (RT-DETR paper, section 4.2; original: `src/zoo/rtdetr/hybrid_encoder.py`): attention inside
//! the coarsest scale (AIFI), then convolutions across scales (CCFM), top-down and bottom-up.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_config as config;
use detrace_nn::{
    Activation, Conv2d, Conv2dConfig, ConvNorm, ConvNormConfig, Folded, LayerNorm, Linear, Maps, MultiheadAttention,
    Probe, Residual, Structure, UpsampledConv,
};

use crate::position::sine_embedding;

/// The hybrid encoder.
#[derive(Clone, Debug)]
pub(crate) struct HybridEncoder {
    input_proj: Vec<ConvNorm>,
    aifi: Vec<(usize, Vec<AifiLayer>, Probe)>,
    lateral_convs: Vec<ConvNorm>,
    fpn_blocks: Vec<CspRepLayer>,
    downsample_convs: Vec<ConvNorm>,
    pan_blocks: Vec<CspRepLayer>,
    hidden_dim: usize,
    temperature: f64,
    structure: Structure,
    probe: Probe,
}

impl HybridEncoder {
    pub(crate) fn new(
        config: &config::Encoder,
        in_channels: &[usize],
        structure: Structure,
        vb: VarBuilder,
    ) -> Result<HybridEncoder> {
        let hidden = config.hidden_dim;
        let silu = |conv| ConvNormConfig::new(conv).act(Activation::Silu);
        let input_proj = in_channels
            .iter()
            .enumerate()
            .map(|(level, &input)| {
                let config = ConvNormConfig::new(Conv2dConfig::same(input, hidden, 1, 1));
                ConvNorm::new(config, structure, vb.pp("input_proj").pp(level))
            })
            .collect::<Result<_>>()?;
        let aifi = config
            .use_encoder_idx
            .iter()
            .enumerate()
            .map(|(index, &level)| {
                let vb = vb.pp("encoder").pp(index);
                let layers = (0..config.layers)
                    .map(|layer| AifiLayer::new(config, structure, vb.pp("layers").pp(layer)))
                    .collect::<Result<_>>()?;
                Ok((level, layers, Probe::new(vb.prefix())))
            })
            .collect::<Result<_>>()?;
        let steps = in_channels.len() - 1;
        let csp = |name: &str, step: usize, beside| CspRepLayer::new(config, structure, beside, vb.pp(name).pp(step));
        let (mut lateral_convs, mut fpn_blocks) = (Vec::new(), Vec::new());
        for step in 0..steps {
            let config = silu(Conv2dConfig::same(hidden, hidden, 1, 1));
            lateral_convs.push(ConvNorm::new(config, structure, vb.pp("lateral_convs").pp(step))?);
            fpn_blocks.push(csp("fpn_blocks", step, structure == Structure::Fast)?);
        }
        let (mut downsample_convs, mut pan_blocks) = (Vec::new(), Vec::new());
        for step in 0..steps {
            let config = silu(Conv2dConfig::same(hidden, hidden, 3, 2));
            downsample_convs.push(ConvNorm::new(config, structure, vb.pp("downsample_convs").pp(step))?);
            pan_blocks.push(csp("pan_blocks", step, false)?);
        }
        Ok(HybridEncoder {
            input_proj,
            aifi,
            lateral_convs,
            fpn_blocks,
            downsample_convs,
            pan_blocks,
            hidden_dim: hidden,
            temperature: config.pe_temperature,
            structure,
            probe: Probe::new(vb.prefix()),
        })
    }

    /// `features`: one map per level, finest first; result: as many maps of `hidden_dim` channels.
    pub(crate) fn forward(&self, features: &[Tensor]) -> Result<Vec<Tensor>> {
        self.probe.block(|| {
            let mut levels =
                self.input_proj.iter().zip(features).map(|(conv, x)| conv.forward(x)).collect::<Result<Vec<_>>>()?;
            for (level, layers, probe) in &self.aifi {
                if !layers.is_empty() {
                    levels[*level] = probe.block(|| self.intra_scale(layers, &levels[*level], probe))?;
                }
            }
            self.cross_scale(&levels)
        })
    }

    /// AIFI: a map's pixels as tokens through transformer layers.
    fn intra_scale(&self, layers: &[AifiLayer], map: &Tensor, probe: &Probe) -> Result<Tensor> {
        let (_, _, height, width) = map.dims4()?;
        let mut tokens = probe.flatten("flatten", map)?;
        let positions = sine_embedding(probe, (height, width), self.hidden_dim, self.temperature, map.device())?
            .to_dtype(map.dtype())?;
        for layer in layers {
            tokens = layer.forward(&tokens, &positions)?;
        }
        probe.unflatten("unflatten", &tokens, (height, width))
    }

    /// CCFM: fuses neighbouring levels top-down (FPN), then bottom-up (PAN).
    fn cross_scale(&self, levels: &[Tensor]) -> Result<Vec<Tensor>> {
        const UPSAMPLE: [&str; 3] = ["upsample.0", "upsample.1", "upsample.2"];
        const FPN: [&str; 3] = ["fpn_concat.0", "fpn_concat.1", "fpn_concat.2"];
        const PAN: [&str; 3] = ["pan_concat.0", "pan_concat.1", "pan_concat.2"];
        let mut inner = vec![levels[levels.len() - 1].clone()];
        for (step, (lateral, block)) in self.lateral_convs.iter().zip(&self.fpn_blocks).enumerate() {
            let high = lateral.forward(&inner[step])?;
            let low = &levels[levels.len() - 2 - step];
            let fused = match self.structure {
                Structure::Fast => block.forward(&Beside::Coarse(&high, low))?,
                Structure::Train | Structure::Deploy => {
                    let upsampled = self.probe.upsample2x(UPSAMPLE[step], &high)?;
                    let both = self.probe.side_by_side(FPN[step], &[&upsampled, low], self.structure)?;
                    block.forward(&Beside::Fine(both))?
                }
            };
            inner[step] = high;
            inner.push(fused);
        }
        inner.reverse();
        let mut outputs = vec![inner[0].clone()];
        for (step, (downsample, block)) in self.downsample_convs.iter().zip(&self.pan_blocks).enumerate() {
            let low = downsample.forward(&outputs[step])?;
            let both = self.probe.side_by_side(PAN[step], &[&low, &inner[step + 1]], self.structure)?;
            outputs.push(block.forward(&Beside::Fine(both))?);
        }
        Ok(outputs)
    }
}

/// A transformer encoder layer with norms after the residuals.
#[derive(Clone, Debug)]
struct AifiLayer {
    self_attn: MultiheadAttention,
    linear1: Linear,
    linear2: Linear,
    norm1: LayerNorm,
    norm2: LayerNorm,
    probe: Probe,
}

impl AifiLayer {
    fn new(config: &config::Encoder, structure: Structure, vb: VarBuilder) -> Result<AifiLayer> {
        let (dim, wide) = (config.hidden_dim, config.dim_feedforward);
        Ok(AifiLayer {
            self_attn: MultiheadAttention::new(dim, config.heads, vb.pp("self_attn"))?,
            linear1: Linear::new(dim, wide, vb.pp("linear1"))?.act(
                activation(config.activation),
                structure,
                vb.pp("activation").prefix(),
            ),
            linear2: Linear::new(wide, dim, vb.pp("linear2"))?,
            norm1: LayerNorm::new(dim, vb.pp("norm1"))?,
            norm2: LayerNorm::new(dim, vb.pp("norm2"))?,
            probe: Probe::new(vb.prefix()),
        })
    }

    /// `tokens`: [N, L, C]; `positions`: [1, L, C]; result: [N, L, C].
    fn forward(&self, tokens: &Tensor, positions: &Tensor) -> Result<Tensor> {
        let probe = &self.probe;
        probe.block(|| {
            let placed = probe.add("with_pos_embed", tokens, positions)?;
            let attended = self.self_attn.forward(&placed, &placed, tokens)?;
            let x = self.norm1.forward_sum(tokens, &attended, probe, "residual1")?;
            let y = self.linear2.forward(&self.linear1.forward(&x)?)?;
            self.norm2.forward_sum(&x, &y, probe, "residual2")
        })
    }
}

/// The activation that a configuration names.
pub(crate) fn activation(name: config::FeedForward) -> Activation {
    match name {
        config::FeedForward::Relu => Activation::Relu,
        config::FeedForward::Gelu => Activation::Gelu,
    }
}

/// Two maps that a fusion block reads side by side.
enum Beside<'a> {
    /// Of one size.
    Fine(Maps),
    /// A coarse one, to be upsampled, and a fine one.
    Coarse(&'a Tensor, &'a Tensor),
}

/// A fusion block's first convolutions, for one or the other.
#[derive(Clone, Debug)]
enum Enter {
    Fine(ConvNorm),
    Coarse(UpsampledConv),
}

impl Enter {
    fn forward(&self, x: &Beside<'_>, residual: Option<Residual<'_>>) -> Result<Tensor> {
        match (self, x) {
            (Enter::Fine(conv), Beside::Fine(maps)) => conv.forward_maps(maps, residual),
            (Enter::Coarse(conv), Beside::Coarse(high, low)) => conv.forward(high, low, residual),
            _ => bail!("a fusion block was made for other maps"),
        }
    }
}

/// CSP block of RepVGG blocks (the paper's fusion block, figure 5).
#[derive(Clone, Debug)]
struct CspRepLayer {
    conv1: Enter,
    conv2: Enter,
    bottlenecks: Vec<RepVgg>,
    conv3: Option<ConvNorm>,
    probe: Probe,
}

impl CspRepLayer {
    /// `coarse`: whether it upsamples the first of its maps itself.
    fn new(config: &config::Encoder, structure: Structure, coarse: bool, vb: VarBuilder) -> Result<CspRepLayer> {
        let (input, output, hidden) = (2 * config.hidden_dim, config.hidden_dim, config.csp_channels());
        let point = |input, output| ConvNormConfig::new(Conv2dConfig::same(input, output, 1, 1)).act(Activation::Silu);
        let enter = |name: &str| {
            let (config, vb) = (point(input, hidden), vb.pp(name));
            match coarse {
                true => UpsampledConv::new(config, input / 2, vb).map(Enter::Coarse),
                false => ConvNorm::new(config, structure, vb).map(Enter::Fine),
            }
        };
        Ok(CspRepLayer {
            conv1: enter("conv1")?,
            conv2: enter("conv2")?,
            bottlenecks: (0..config.csp_blocks())
                .map(|block| RepVgg::new(hidden, structure, vb.pp("bottlenecks").pp(block)))
                .collect::<Result<_>>()?,
            conv3: (hidden != output)
                .then(|| ConvNorm::new(point(hidden, output), structure, vb.pp("conv3")))
                .transpose()?,
            probe: Probe::new(vb.prefix()),
        })
    }

    fn forward(&self, x: &Beside<'_>) -> Result<Tensor> {
        self.probe.block(|| {
            let mut deep = self.conv1.forward(x, None)?;
            for block in &self.bottlenecks {
                deep = block.forward(&deep)?;
            }
            let residual = Residual { tensor: &deep, block: &self.probe, act: None };
            let sum = self.conv2.forward(x, Some(residual))?;
            match &self.conv3 {
                Some(conv) => conv.forward(&sum),
                None => Ok(sum),
            }
        })
    }
}

/// RepVGG block (Ding et al. 2021): a 3×3 and a 1×1 convolution added up, or both merged into one.
#[derive(Clone, Debug)]
enum RepVgg {
    Branches(Box<[ConvNorm; 2]>, Probe, Probe),
    Merged(Conv2d),
}

impl RepVgg {
    fn new(channels: usize, structure: Structure, vb: VarBuilder) -> Result<RepVgg> {
        let square = ConvNormConfig::new(Conv2dConfig::same(channels, channels, 3, 1));
        let point = ConvNormConfig::new(Conv2dConfig::same(channels, channels, 1, 1));
        let act = vb.pp("act").prefix();
        match structure {
            Structure::Train => {
                let conv1 = ConvNorm::new(square, structure, vb.pp("conv1"))?;
                let conv2 = ConvNorm::new(point, structure, vb.pp("conv2"))?;
                Ok(RepVgg::Branches(Box::new([conv1, conv2]), Probe::new(vb.prefix()), Probe::new(act)))
            }
            Structure::Deploy | Structure::Fast => {
                let square_folded = Folded::new(&square, &vb.pp("conv1"))?;
                let point_folded = Folded::new(&point, &vb.pp("conv2"))?;
                // The 1×1 kernel is the centre of a 3×3 one.
                let centred = point_folded.weight.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
                let merged = Folded {
                    weight: (square_folded.weight + centred)?,
                    bias: (square_folded.bias + point_folded.bias)?,
                };
                let conv = merged.conv(square.conv, vb.dtype(), vb.pp("conv").prefix())?;
                Ok(RepVgg::Merged(conv.fuse(Activation::Silu, act)))
            }
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            RepVgg::Merged(conv) => conv.forward(x),
            RepVgg::Branches(convs, probe, act) => probe.block(|| {
                let [conv1, conv2] = &**convs;
                let sum = probe.add("sum_branches", &conv1.forward(x)?, &conv2.forward(x)?)?;
                Activation::Silu.forward(act, &sum)
            }),
        }
    }
}
