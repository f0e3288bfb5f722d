//! The efficient hybrid encoder on paper (RT-DETR paper, section 4.2, figures 4 and 5; original: `hybrid_encoder.py`).

use detrace_config::{self as config, FeedForward};
use detrace_flops::{Kind, Structure};

use super::layers::{Attention, ConvNorm, ConvNormSpec, LayerNorm, Linear, Upsampled};
use super::sheet::{Map, Sheet, Tokens, inside};

/// Makes the encoder, then runs it on the backbone's maps; the result is as many maps, all of one width.
pub(super) fn encoder(sheet: &mut Sheet, config: &config::Encoder, features: &[Map]) -> Vec<Map> {
    let root = "encoder";
    let hidden = config.hidden_dim;
    let project: Vec<ConvNorm> = (0..features.len())
        .map(|level| {
            let block = inside(root, format_args!("input_proj.{level}"));
            ConvNormSpec::new(features[level][1], hidden, 1, 1).make(sheet, &block)
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
    let make_fusion =
        |sheet: &mut Sheet, conv: &str, fusion: &str, (kernel, stride), coarse| -> Vec<(ConvNorm, Fusion)> {
            (0..steps)
                .map(|step| {
                    let spec = ConvNormSpec::new(hidden, hidden, kernel, stride).act(Kind::Silu);
                    let conv = spec.make(sheet, &inside(root, format_args!("{conv}.{step}")));
                    (conv, Fusion::make(sheet, inside(root, format_args!("{fusion}.{step}")), config, coarse))
                })
                .collect()
        };
    let fast = sheet.structure == Structure::Fast;
    let top_down = make_fusion(sheet, "lateral_convs", "fpn_blocks", (1, 1), fast);
    let bottom_up = make_fusion(sheet, "downsample_convs", "pan_blocks", (3, 2), false);

    let maps: Vec<Map> = project.iter().zip(features).map(|(conv, &map)| conv.on(sheet, map)).collect();
    for (level, block, layers) in &transformers {
        within_scale(sheet, block, layers, maps[*level]);
    }
    across_scales(sheet, root, &maps, &top_down, &bottom_up)
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

/// The fusion block: two 1×1 convolutions beside each other, RepVGG blocks behind the first (figure 5).
struct Fusion {
    path: String,
    enter: Enter,
    blocks: Vec<RepVgg>,
    out: Option<ConvNorm>,
}

/// Its first convolutions: the one that goes deep and the one that does not.
enum Enter {
    /// Of one map.
    Joined { deep: ConvNorm, flat: ConvNorm },
    /// Of a coarse map and a fine one.
    Apart { deep: Upsampled, flat: Upsampled },
}

impl Fusion {
    fn make(sheet: &mut Sheet, path: String, config: &config::Encoder, coarse: bool) -> Fusion {
        let (width, hidden) = (config.hidden_dim, config.csp_channels());
        let point = |sheet: &mut Sheet, name: &str, input, output| {
            ConvNormSpec::new(input, output, 1, 1).act(Kind::Silu).make(sheet, &inside(&path, name))
        };
        let upsampled =
            |sheet: &mut Sheet, name: &str| Upsampled::make(sheet, &inside(&path, name), width, hidden, Kind::Silu);
        let enter = match coarse {
            true => Enter::Apart { deep: upsampled(sheet, "conv1"), flat: upsampled(sheet, "conv2") },
            false => Enter::Joined {
                deep: point(sheet, "conv1", width * 2, hidden),
                flat: point(sheet, "conv2", width * 2, hidden),
            },
        };
        let blocks = (0..config.csp_blocks())
            .map(|index| RepVgg::make(sheet, inside(&path, format_args!("bottlenecks.{index}")), hidden))
            .collect();
        let out = if hidden == width { None } else { Some(point(sheet, "conv3", hidden, width)) };
        Fusion { path, enter, blocks, out }
    }

    /// On a map, or on a coarse map and a fine one.
    fn on(&self, sheet: &mut Sheet, x: Map, coarse: Option<Map>) -> Map {
        let through = |sheet: &mut Sheet, deep| self.blocks.iter().fold(deep, |x, block| block.on(sheet, x));
        let deep = match (&self.enter, coarse) {
            (Enter::Apart { deep, flat }, Some(coarse)) => {
                let first = deep.on(sheet, coarse, x, None);
                let deep = through(sheet, first);
                flat.on(sheet, coarse, x, Some((&self.path, deep)))
            }
            (Enter::Joined { deep, flat }, _) => {
                let first = deep.on(sheet, x);
                let deep = through(sheet, first);
                flat.on_residual(sheet, x, &self.path, deep, None)
            }
            (Enter::Apart { .. }, None) => return x,
        };
        self.out.as_ref().map_or(deep, |conv| conv.on(sheet, deep))
    }
}

/// A RepVGG block (Ding et al. 2021): two branches added up, or the one convolution that they amount to.
struct RepVgg {
    path: String,
    square: ConvNorm,
    point: Option<ConvNorm>,
}

impl RepVgg {
    fn make(sheet: &mut Sheet, path: String, channels: usize) -> RepVgg {
        let square = ConvNormSpec::new(channels, channels, 3, 1);
        match sheet.structure {
            Structure::Train => {
                let square = square.make(sheet, &inside(&path, "conv1"));
                let point = ConvNormSpec::new(channels, channels, 1, 1).make(sheet, &inside(&path, "conv2"));
                RepVgg { path, square, point: Some(point) }
            }
            // Its convolution is called `conv` and its activation `act`, as in every other block.
            Structure::Deploy | Structure::Fast => {
                let square = square.act(Kind::Silu).make(sheet, &path);
                RepVgg { path, square, point: None }
            }
        }
    }

    fn on(&self, sheet: &mut Sheet, x: Map) -> Map {
        let y = self.square.on(sheet, x);
        if let Some(point) = &self.point {
            let other = point.on(sheet, x);
            sheet.add(&self.path, "sum_branches", &y, &other);
            sheet.call(&inside(&self.path, "act"), Kind::Silu, &[&y], &y);
        }
        y
    }
}
