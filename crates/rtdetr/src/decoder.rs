//! Deformable decoder (original: `src/zoo/rtdetr/rtdetrv2_decoder.py`): each layer attends among queries, samples the
//! tokens around each query's box, and refines the box.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use detrace_config::{self as config, Config};
use detrace_nn::{
    Attended, DeformableAttention, DeformableConfig, LayerNorm, Linear, Mlp, MultiheadAttention, Probe, Sampler,
    Structure,
};

use crate::encoder::activation;
use crate::selection::Selection;

/// All decoder layers with their heads.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    layers: Vec<DecoderLayer>,
    query_pos_head: Mlp,
    score_heads: Vec<Linear>,
    bbox_heads: Vec<Mlp>,
    run: usize,
    probe: Probe,
}

/// What the decoder made of the queries.
pub(crate) struct Decoded {
    /// Class logits of the last layer that ran, [N, Q, classes].
    pub(crate) logits: Tensor,
    /// Boxes, cx, cy, w, h in 0 … 1, [N, Q, 4].
    pub(crate) boxes: Tensor,
    /// Queries after each layer, [N, Q, C].
    pub(crate) hidden: Vec<Tensor>,
    /// Where each layer sampled, [N, Q, heads, points, 2].
    pub(crate) locations: Vec<Tensor>,
}

impl Decoder {
    /// `vb` is the decoder module's, which also holds the heads, which compute in f32. Layers and `query_pos_head` come made, since the original
    /// makes query selection's heads between them and the decoder's.
    pub(crate) fn new(
        config: &Config,
        structure: Structure,
        layers: Vec<DecoderLayer>,
        query_pos_head: Mlp,
        vb: &VarBuilder,
    ) -> Result<Decoder> {
        let (dim, count, vb) = (config.decoder.hidden_dim, layers.len(), vb.to_dtype(DType::F32));
        let score_heads = (0..count)
            .map(|layer| Linear::new(dim, config.classes, vb.pp("dec_score_head").pp(layer)))
            .collect::<Result<_>>()?;
        let bbox_heads = (0..count)
            .map(|layer| Mlp::new(&[dim, dim, dim, 4], structure, vb.pp("dec_bbox_head").pp(layer)))
            .collect::<Result<_>>()?;
        let probe = Probe::new(vb.pp("decoder").prefix());
        Ok(Decoder { layers, query_pos_head, score_heads, bbox_heads, run: config.decoder.layers_run(), probe })
    }

    /// `selection`: initial queries; `memory`: [N, L, C] tokens of all `levels`; `forced`: pixels that discrete sampling
    /// reads in each layer.
    pub(crate) fn forward(
        &self,
        selection: &Selection,
        memory: &Tensor,
        levels: &[(usize, usize)],
        forced: &[Tensor],
    ) -> Result<Decoded> {
        let probe = &self.probe;
        probe.block(|| {
            let mut boxes = probe.sigmoid("reference", &selection.reference)?;
            let mut queries = selection.content.to_dtype(memory.dtype())?;
            let (mut hidden, mut sampled) = (Vec::new(), Vec::new());
            for (index, (layer, bbox_head)) in self.layers.iter().zip(&self.bbox_heads).take(self.run).enumerate() {
                let positions = self.query_pos_head.forward(&boxes)?.to_dtype(memory.dtype())?;
                let attended = layer.forward(&queries, &positions, &boxes, memory, levels, forced.get(index))?;
                queries = attended.output;
                sampled.push(attended.locations);
                let offsets = bbox_head.forward(&queries)?;
                let reference = probe.inverse_sigmoid("inverse_sigmoid", &boxes)?;
                boxes = probe.sigmoid("refined", &probe.add("refine", &offsets, &reference)?)?;
                hidden.push(queries.clone());
            }
            let logits = self.score_heads[self.run - 1].forward(&queries)?;
            Ok(Decoded { logits, boxes, hidden, locations: sampled })
        })
    }
}

/// Self-attention, deformable cross-attention, feed-forward network; norms after the residuals.
#[derive(Clone, Debug)]
pub(crate) struct DecoderLayer {
    self_attn: MultiheadAttention,
    norm1: LayerNorm,
    cross_attn: DeformableAttention,
    norm2: LayerNorm,
    linear1: Linear,
    linear2: Linear,
    norm3: LayerNorm,
    probe: Probe,
}

impl DecoderLayer {
    pub(crate) fn new(config: &config::Decoder, structure: Structure, vb: VarBuilder) -> Result<DecoderLayer> {
        let (dim, wide) = (config.hidden_dim, config.dim_feedforward);
        let cross_attn = DeformableConfig {
            embed_dim: dim,
            heads: config.heads,
            points: config.points.clone(),
            offset_scale: config.offset_scale,
            sampler: match config.sampling {
                config::Sampling::Default => Sampler::Bilinear,
                config::Sampling::Discrete => Sampler::Discrete,
            },
        };
        Ok(DecoderLayer {
            self_attn: MultiheadAttention::new(dim, config.heads, vb.pp("self_attn"))?,
            norm1: LayerNorm::new(dim, vb.pp("norm1"))?,
            cross_attn: DeformableAttention::new(cross_attn, vb.pp("cross_attn"))?,
            norm2: LayerNorm::new(dim, vb.pp("norm2"))?,
            linear1: Linear::new(dim, wide, vb.pp("linear1"))?.act(
                activation(config.activation),
                structure,
                vb.pp("activation").prefix(),
            ),
            linear2: Linear::new(wide, dim, vb.pp("linear2"))?,
            norm3: LayerNorm::new(dim, vb.pp("norm3"))?,
            probe: Probe::new(vb.prefix()),
        })
    }

    /// `queries` and `positions`: [N, Q, C]; `boxes`: [N, Q, 4]; the output: [N, Q, C].
    fn forward(
        &self,
        queries: &Tensor,
        positions: &Tensor,
        boxes: &Tensor,
        memory: &Tensor,
        levels: &[(usize, usize)],
        forced: Option<&Tensor>,
    ) -> Result<Attended> {
        let probe = &self.probe;
        probe.block(|| {
            let placed = probe.add("self_pos_embed", queries, positions)?;
            let attended = self.self_attn.forward(&placed, &placed, queries)?;
            let x = self.norm1.forward_sum(queries, &attended, probe, "residual1")?;
            let placed = probe.add("cross_pos_embed", &x, positions)?;
            let sampled = self.cross_attn.forward(&placed, boxes, memory, levels, forced)?;
            let x = self.norm2.forward_sum(&x, &sampled.output, probe, "residual2")?;
            let y = self.linear2.forward(&self.linear1.forward(&x)?)?;
            let output = self.norm3.forward_sum(&x, &y, probe, "residual3")?;
            Ok(Attended { output, ..sampled })
        })
    }
}
