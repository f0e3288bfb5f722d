//! The efficient hybrid encoder on paper (RT-DETR paper, section 4.2, figures 4 and 5; original: `hybrid_encoder.py`).

use detrace_config::{self as config, FeedForward};
use detrace_flops::{Kind, Structure};

use super::fusion::Fusion;
use super::layers::{Attention, ConvNorm, ConvNormSpec, LayerNorm, Linear};
use super::sheet::{Map, Sheet, Tokens, inside};

/// Makes the encoder, then runs it on the backbone's maps; the result is as many maps, all of one width.
pub(super) fn encoder(sheet: &mut Sheet, config: &config::Encoder, features: &[Map]) -> Vec<Map> {
    let root = "encoder";
    let hidden = config.hidden_dim;
    let merged: Vec<bool> = (0..features.len())
        .map(|level| sheet.structure == Structure::Fast && is_merged(config, features, level))
        .collect();
    let project: Vec<Option<ConvNorm>> = (0..features.len())
        .map(|level| {
            let block = inside(root, format_args!("input_proj.{level}"));
            (!merged[level]).then(|| ConvNormSpec::new(features[level][1], hidden, 1, 1).make(sheet, &block))
        })
        .collect();
    let transformers: Vec<(usize, String, Vec<TransformerLayer>)> = (0..)
        .zip(&config.use_encoder_idx)
        .map(|(index, &level): (usize, _)| {
            let block = inside(root, format_args!("encoder.{index}"));
            let layers = (0..config.layers)
                .map(|layer| TransformerLayer::make(sheet, inside(&block, format_args!("layers.{layer}")), config))
                .collect();
            (level, block, layers)
        })
        .collect();
    let steps = features.len() - 1;
    let make_fusion = |sheet: &mut Sheet, names: [&str; 2], (kernel, stride), step, fine| -> (ConvNorm, Fusion) {
        let [conv, fusion] = names.map(|name| inside(root, format_args!("{name}.{step}")));
        let conv = ConvNormSpec::new(hidden, hidden, kernel, stride).act(Kind::Silu).make(sheet, &conv);
        (conv, Fusion::make(sheet, fusion, config, fine))
    };
    let top_down: Vec<_> = (0..steps)
        .map(|step| {
            let level = steps - 1 - step;
            let fine = if merged[level] { features[level][1] } else { hidden };
            let fine = (sheet.structure == Structure::Fast).then_some(fine);
            make_fusion(sheet, ["lateral_convs", "fpn_blocks"], (1, 1), step, fine)
        })
        .collect();
    let bottom_up: Vec<_> =
        (0..steps).map(|step| make_fusion(sheet, ["downsample_convs", "pan_blocks"], (3, 2), step, None)).collect();

    let maps: Vec<Map> = project
        .iter()
        .zip(features)
        .map(|(conv, &map)| conv.as_ref().map_or(map, |conv| conv.on(sheet, map)))
        .collect();
    for (level, block, layers) in &transformers {
        within_scale(sheet, block, layers, maps[*level]);
    }
    across_scales(sheet, root, &maps, &top_down, &bottom_up)
}

/// Whether a level's projection is part of the two convolutions that read it: where that is no more products. The coarsest
/// map and those with a transformer are read by others too.
fn is_merged(config: &config::Encoder, features: &[Map], level: usize) -> bool {
    let [width, input, both] = [config.hidden_dim, features[level][1], 2 * config.csp_channels()];
    let (apart, together) = (input * width + width * both, input * both);
    together <= apart && level != features.len() - 1 && !config.use_encoder_idx.contains(&level)
}

/// AIFI: one map's pixels as tokens. The map keeps its shape.
fn within_scale(sheet: &mut Sheet, block: &str, layers: &[TransformerLayer], map: Map) {
    if layers.is_empty() {
        return;
    }
    let [batch, channels, height, width] = map;
    let tokens = [batch, height * width, channels];
    sheet.map(block, "flatten", Kind::Copy, &tokens);
    let places = [1, height * width, channels];
    sheet.step(block, "pos_embed", Kind::Embedding, &[], &places);
    for layer in layers {
        layer.on(sheet, tokens, places);
    }
    sheet.map(block, "unflatten", Kind::Copy, &[batch, channels, height * width]);
}

/// CCFM: coarse maps into finer ones, then fine ones into coarser ones.
fn across_scales(
    sheet: &mut Sheet,
    root: &str,
    maps: &[Map],
    top_down: &[(ConvNorm, Fusion)],
    bottom_up: &[(ConvNorm, Fusion)],
) -> Vec<Map> {
    let (coarsest, finer) = (maps[maps.len() - 1], &maps[..maps.len() - 1]);
    let mut current = coarsest;
    // What waits for the way back, coarsest first.
    let mut waiting = Vec::new();
    for (step, ((lateral, fusion), &fine)) in top_down.iter().zip(finer.iter().rev()).enumerate() {
        let high = lateral.on(sheet, current);
        waiting.push(high);
        if sheet.structure == Structure::Fast {
            current = fusion.on(sheet, fine, Some(high));
            continue;
        }
        let [batch, channels, height, width] = high;
        let doubled = [batch, channels, height * 2, width * 2];
        sheet.step(root, &format!("upsample.{step}"), Kind::Interpolate, &[&high], &doubled);
        let both = sheet.concat_channels(root, &format!("fpn_concat.{step}"), &[doubled, fine]);
        current = fusion.on(sheet, both, None);
    }
    let mut outputs = vec![current];
    for (step, ((downsample, fusion), &coarse)) in bottom_up.iter().zip(waiting.iter().rev()).enumerate() {
        let low = downsample.on(sheet, current);
        let both = sheet.concat_channels(root, &format!("pan_concat.{step}"), &[low, coarse]);
        current = fusion.on(sheet, both, None);
        outputs.push(current);
    }
    outputs
}

/// The kind of a feed-forward network's activation.
pub(super) fn activation(name: FeedForward) -> Kind {
    match name {
        FeedForward::Relu => Kind::Relu,
        FeedForward::Gelu => Kind::Gelu,
    }
}

/// Self-attention and a feed-forward network, each with a residual and a norm behind it.
struct TransformerLayer {
    path: String,
    attention: Attention,
    widen: Linear,
    narrow: Linear,
    norms: [LayerNorm; 2],
}

impl TransformerLayer {
    fn make(sheet: &mut Sheet, path: String, config: &config::Encoder) -> TransformerLayer {
        let (width, wide) = (config.hidden_dim, config.dim_feedforward);
        let attention = Attention::make(sheet, inside(&path, "self_attn"), width, config.heads);
        let widen = Linear::make(sheet, inside(&path, "linear1"), width, wide)
            .act(activation(config.activation), inside(&path, "activation"));
        let narrow = Linear::make(sheet, inside(&path, "linear2"), wide, width);
        let norms = ["norm1", "norm2"].map(|name| LayerNorm::make(sheet, inside(&path, name), width));
        TransformerLayer { path, attention, widen, narrow, norms }
    }

    fn on(&self, sheet: &mut Sheet, x: Tokens, places: Tokens) {
        let block = self.path.as_str();
        sheet.add(block, "with_pos_embed", &x, &places);
        self.attention.on(sheet, x);
        self.norms[0].on_sum(sheet, x, block, "residual1");
        let wide = self.widen.on(sheet, x);
        self.narrow.on(sheet, wide);
        self.norms[1].on_sum(sheet, x, block, "residual2");
    }
}
