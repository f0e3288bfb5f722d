//! Query selection on paper (RT-DETR paper, section 4.3; original: `RTDETRTransformerv2._get_decoder_input`).

use detrace_config::Config;
use detrace_flops::{Kind, Param, Structure};

use super::layers::{ConvNorm, ConvNormSpec, LayerNorm, Linear, Mlp};
use super::sheet::{Map, Sheet, Tokens, inside};

/// Convolutions that bring maps to the decoder's width, and make the levels that the encoder lacks.
pub(super) struct Projection {
    root: String,
    convs: Vec<ConvNorm>,
}

impl Projection {
    pub(super) fn make(sheet: &mut Sheet, root: &str, config: &Config) -> Projection {
        let (have, hidden, width) = (config.encoder_levels(), config.encoder.hidden_dim, config.decoder.hidden_dim);
        let convs = (0..config.decoder.levels)
            .map(|level| {
                let spec = match level {
                    _ if level < have => ConvNormSpec::new(hidden, width, 1, 1),
                    _ if level == have => ConvNormSpec::new(hidden, width, 3, 2),
                    _ => ConvNormSpec::new(width, width, 3, 2),
                };
                spec.make(sheet, &inside(root, format_args!("input_proj.{level}")))
            })
            .collect();
        Projection { root: root.to_owned(), convs }
    }

    /// All levels' tokens in one sequence.
    pub(super) fn on(&self, sheet: &mut Sheet, maps: &[Map]) -> Tokens {
        let mut parts: Vec<Tokens> = Vec::new();
        // A level beyond the encoder's starts from its coarsest map, one beyond that from the level before.
        let mut coarsest = maps[maps.len() - 1];
        for (level, conv) in self.convs.iter().enumerate() {
            let made = conv.on(sheet, maps.get(level).copied().unwrap_or(coarsest));
            if level >= maps.len() {
                coarsest = made;
            }
            let [batch, channels, height, width] = made;
            let tokens = [batch, height * width, channels];
            sheet.map(&self.root, &format!("flatten.{level}"), Kind::Copy, &tokens);
            parts.push(tokens);
        }
        let [batch, _, channels] = parts[0];
        let memory = [batch, parts.iter().map(|part| part[1]).sum(), channels];
        let parts: Vec<&[usize]> = parts.iter().map(<[usize; 3]>::as_slice).collect();
        sheet.step(&self.root, "concat", Kind::Concat, &parts, &memory);
        memory
    }
}

/// Scores every token and takes the best as queries.
pub(super) struct Selection {
    root: String,
    proj: Linear,
    norm: LayerNorm,
    scores: Linear,
    boxes: Mlp,
    learned: bool,
    queries: usize,
    selects_first: bool,
}

impl Selection {
    pub(super) fn make(sheet: &mut Sheet, root: &str, config: &Config) -> Selection {
        let (width, queries) = (config.decoder.hidden_dim, config.decoder.queries);
        let learned = config.decoder.learn_query_content;
        if learned {
            sheet.own(&inside(root, "tgt_embed"), &[Param::named("weight", &[queries, width])]);
        }
        Selection {
            root: root.to_owned(),
            proj: Linear::make(sheet, inside(root, "enc_output.proj"), width, width),
            norm: LayerNorm::make(sheet, inside(root, "enc_output.norm"), width),
            scores: Linear::make(sheet, inside(root, "enc_score_head"), width, config.classes),
            boxes: Mlp::make(sheet, &inside(root, "enc_bbox_head"), &[width, width, width, 4]),
            learned,
            queries,
            selects_first: sheet.structure == Structure::Fast,
        }
    }

    /// The queries' contents, and their reference boxes.
    pub(super) fn on(&self, sheet: &mut Sheet, memory: Tokens) -> (Tokens, Tokens) {
        let root = self.root.as_str();
        let [batch, length, width] = memory;
        sheet.step(root, "anchors", Kind::Embedding, &[], &[1, length, 4]);
        sheet.step(root, "mask", Kind::Mul, &[&[1, length, 1], &memory], &memory);
        self.proj.on(sheet, memory);
        self.norm.on(sheet, memory);
        let logits = self.scores.on(sheet, memory);
        let boxes = (!self.selects_first).then(|| self.boxes.on(sheet, memory));
        if let Some(boxes) = &boxes {
            sheet.add(root, "anchor_offset", boxes, &[1, length, 4]);
        }
        let scores = [batch, length];
        sheet.step(root, "class_max", Kind::TopK, &[&logits], &scores);
        let best = [batch, self.queries];
        sheet.step(root, "top_k", Kind::TopK, &[&scores], &best);
        let content = [batch, self.queries, width];
        if self.learned {
            sheet.map(root, "tile_content", Kind::Copy, &content);
        } else {
            sheet.step(root, "gather_content", Kind::Gather, &[&memory, &best], &content);
        }
        let reference = [batch, self.queries, 4];
        if let Some(boxes) = boxes {
            sheet.step(root, "gather_reference", Kind::Gather, &[&boxes, &best], &reference);
        } else {
            if self.learned {
                sheet.step(root, "gather_tokens", Kind::Gather, &[&memory, &best], &content);
            }
            sheet.step(root, "gather_anchors", Kind::Gather, &[&[batch, length, 4], &best], &reference);
            let offsets = self.boxes.on(sheet, content);
            sheet.add(root, "anchor_offset", &offsets, &reference);
        }
        (content, reference)
    }
}
