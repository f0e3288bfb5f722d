//! Efficient hybrid encoder (RT-DETR paper, section 4.2; original: `src/zoo/rtdetr/hybrid_encoder.py`): attention inside
//! the coarsest scale (AIFI), then convolutions across scales (CCFM), top-down and bottom-up.

use candle_core::{Error, Result, Tensor};
use candle_nn::VarBuilder;
use detrace_config as config;
use detrace_nn::{
    Activation, Conv2dConfig, ConvNorm, ConvNormConfig, Folded, LayerNorm, Linear, MultiheadAttention, Probe, Structure,
};

use crate::fusion::{Beside, CspRepLayer, Inputs};
use crate::position::sine_embedding;

/// The hybrid encoder.
#[derive(Clone, Debug)]
pub(crate) struct HybridEncoder {
    /// None where a fusion block takes the backbone's map.
    input_proj: Vec<Option<ConvNorm>>,
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
        let projection = |level: usize| {
            let conv = Conv2dConfig::same(in_channels[level], hidden, 1, 1);
            (ConvNormConfig::new(conv), vb.pp("input_proj").pp(level))
        };
        let merged = |level: usize| structure == Structure::Fast && is_merged(config, in_channels, level);
        let input_proj = (0..in_channels.len())
            .map(|level| {
                let (config, vb) = projection(level);
                (!merged(level)).then(|| ConvNorm::new(config, structure, vb)).transpose()
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
        let fpn = |step: usize| {
            let level = steps - 1 - step;
            let (config, vb) = projection(level);
            let before = merged(level).then(|| Folded::new(&config, &vb)).transpose()?;
            Ok::<_, Error>(if structure == Structure::Fast { Inputs::Coarse(before) } else { Inputs::Fine })
        };
        let csp = |name: &str, step: usize, inputs: Inputs| {
            CspRepLayer::new(config, structure, &inputs, vb.pp(name).pp(step))
        };
        let (mut lateral_convs, mut fpn_blocks) = (Vec::new(), Vec::new());
        for step in 0..steps {
            let config = silu(Conv2dConfig::same(hidden, hidden, 1, 1));
            lateral_convs.push(ConvNorm::new(config, structure, vb.pp("lateral_convs").pp(step))?);
            fpn_blocks.push(csp("fpn_blocks", step, fpn(step)?)?);
        }
        let (mut downsample_convs, mut pan_blocks) = (Vec::new(), Vec::new());
        for step in 0..steps {
            let config = silu(Conv2dConfig::same(hidden, hidden, 3, 2));
            downsample_convs.push(ConvNorm::new(config, structure, vb.pp("downsample_convs").pp(step))?);
            pan_blocks.push(csp("pan_blocks", step, Inputs::Fine)?);
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
            let project = |(conv, x): (&Option<ConvNorm>, &Tensor)| match conv {
                Some(conv) => conv.forward(x),
                None => Ok(x.clone()),
            };
            let mut levels = self.input_proj.iter().zip(features).map(project).collect::<Result<Vec<_>>>()?;
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

/// Whether the structure `fast` merges a level's projection into the two convolutions of the fusion block that reads it:
/// where that is no more work, and nobody else reads it.
fn is_merged(config: &config::Encoder, in_channels: &[usize], level: usize) -> bool {
    let (input, hidden, fused) = (in_channels[level], config.hidden_dim, 2 * config.csp_channels());
    let alone = level + 1 < in_channels.len() && !config.use_encoder_idx.contains(&level);
    alone && input * fused <= (input + fused) * hidden
}
