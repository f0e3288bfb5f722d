//! Query selection (RT-DETR paper, section 4.3; original: `RTDETRTransformerv2._get_decoder_input`): the tokens with the
//! highest class scores become the decoder's initial queries.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use detrace_config::Config;
use detrace_flops::Param;
use detrace_nn::{Conv2dConfig, ConvNorm, ConvNormConfig, LayerNorm, Linear, Mlp, Probe, Structure, declare};

use crate::anchors::Anchors;

/// Projects the encoder's maps to tokens, scores them and selects queries.
#[derive(Clone, Debug)]
pub(crate) struct QuerySelection {
    proj: Linear,
    norm: LayerNorm,
    score_head: Linear,
    bbox_head: Mlp,
    content: Option<Tensor>,
    queries: usize,
    /// Whether the box head sees the selected tokens only.
    selects_first: bool,
    probe: Probe,
}

/// What query selection hands to the decoder, and what it decided by.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Class logits of each token, [N, L, classes].
    pub class_logits: Tensor,
    /// Highest class logit of each token, [N, L].
    pub scores: Tensor,
    /// Selected tokens, best first, [N, Q], u32.
    pub indices: Tensor,
    /// Query contents, [N, Q, C].
    pub content: Tensor,
    /// Reference boxes as logits, [N, Q, 4].
    pub reference: Tensor,
}

impl QuerySelection {
    /// From the norm of the tokens on, everything is f32: scores decide by their last bits which tokens are selected.
    pub(crate) fn new(config: &Config, structure: Structure, vb: VarBuilder) -> Result<QuerySelection> {
        let dim = config.decoder.hidden_dim;
        let (token_vb, vb) = (&vb, vb.to_dtype(DType::F32));
        let content = if config.decoder.learn_query_content {
            let shape = (config.decoder.queries, dim);
            declare(&vb.pp("tgt_embed").prefix(), &[Param::named("weight", &[shape.0, shape.1])]);
            Some(vb.pp("tgt_embed").get(shape, "weight")?)
        } else {
            None
        };
        Ok(QuerySelection {
            proj: Linear::new(dim, dim, token_vb.pp("enc_output").pp("proj"))?,
            norm: LayerNorm::new(dim, vb.pp("enc_output").pp("norm"))?,
            score_head: Linear::new(dim, config.classes, vb.pp("enc_score_head"))?,
            bbox_head: Mlp::new(&[dim, dim, dim, 4], structure, vb.pp("enc_bbox_head"))?,
            content,
            queries: config.decoder.queries,
            selects_first: structure == Structure::Fast,
            probe: Probe::new(vb.prefix()),
        })
    }

    /// `memory`: [N, L, C] tokens of all `levels`; `forced`: tokens [N, Q] to select instead of the best.
    pub(crate) fn forward(
        &self,
        memory: &Tensor,
        levels: &[(usize, usize)],
        forced: Option<&Tensor>,
    ) -> Result<Selection> {
        let probe = &self.probe;
        let anchors = Anchors::new(probe, levels, memory.device())?;
        let masked = probe.mul("mask", &anchors.valid.to_dtype(memory.dtype())?, memory)?;
        let output = self.norm.forward(&self.proj.forward(&masked)?)?;
        let class_logits = self.score_head.forward(&output)?;
        let anchors = anchors.logits;
        let boxes_of =
            |tokens: &Tensor, anchors: &Tensor| probe.add("anchor_offset", &self.bbox_head.forward(tokens)?, anchors);
        let boxes = (!self.selects_first).then(|| boxes_of(&output, &anchors)).transpose()?;
        let scores = probe.max_last("class_max", &class_logits)?;
        let indices = match forced {
            Some(indices) => indices.clone(),
            None => probe.top_k("top_k", &scores, self.queries)?,
        };
        let selected = |role| probe.gather_rows(role, &output, &indices);
        let content = match &self.content {
            Some(learned) => {
                let (queries, dim) = learned.dims2()?;
                probe.copy("tile_content", &learned.unsqueeze(0)?.broadcast_as((memory.dim(0)?, queries, dim))?)?
            }
            None => selected("gather_content")?,
        };
        let reference = match boxes {
            Some(boxes) => probe.gather_rows("gather_reference", &boxes, &indices)?,
            None => {
                let tokens = match &self.content {
                    Some(_) => selected("gather_tokens")?,
                    None => content.clone(),
                };
                let (batch, _, _) = memory.dims3()?;
                let anchors = anchors.broadcast_as((batch, anchors.dim(1)?, 4))?;
                boxes_of(&tokens, &probe.gather_rows("gather_anchors", &anchors, &indices)?)?
            }
        };
        Ok(Selection { class_logits, scores, indices, content, reference })
    }
}

/// Projects the encoder's maps to the decoder's width and makes levels that the backbone lacks.
#[derive(Clone, Debug)]
pub(crate) struct InputProjection {
    convs: Vec<ConvNorm>,
    probe: Probe,
}

impl InputProjection {
    pub(crate) fn new(config: &Config, structure: Structure, vb: VarBuilder) -> Result<InputProjection> {
        let (have, dim) = (config.encoder_levels(), config.decoder.hidden_dim);
        let convs = (0..config.decoder.levels)
            .map(|level| {
                let conv = if level < have {
                    Conv2dConfig::same(config.encoder.hidden_dim, dim, 1, 1)
                } else {
                    let input = if level == have { config.encoder.hidden_dim } else { dim };
                    Conv2dConfig::same(input, dim, 3, 2)
                };
                ConvNorm::new(ConvNormConfig::new(conv), structure, vb.pp("input_proj").pp(level))
            })
            .collect::<Result<_>>()?;
        Ok(InputProjection { convs, probe: Probe::new(vb.prefix()) })
    }

    /// `features`: one map per encoder level; result: tokens of all levels [N, L, C], and the levels' sizes.
    pub(crate) fn forward(&self, features: &[Tensor]) -> Result<(Tensor, Vec<(usize, usize)>)> {
        const FLATTEN: [&str; 8] =
            ["flatten.0", "flatten.1", "flatten.2", "flatten.3", "flatten.4", "flatten.5", "flatten.6", "flatten.7"];
        let (mut tokens, mut levels) = (Vec::new(), Vec::new());
        let mut last = None;
        for (level, conv) in self.convs.iter().enumerate() {
            let source = match (features.get(level), &last) {
                (Some(map), _) => map,
                (None, Some(made)) if level > features.len() => made,
                _ => &features[features.len() - 1],
            };
            let map = conv.forward(source)?;
            let (_, _, height, width) = map.dims4()?;
            levels.push((height, width));
            tokens.push(self.probe.flatten(FLATTEN[level], &map)?);
            last = Some(map);
        }
        let memory = self.probe.concat("concat", &tokens.iter().collect::<Vec<_>>(), 1)?;
        Ok((memory, levels))
    }
}
