//! The transformer on paper: query selection and the deformable decoder (RT-DETR paper, section 4.4; original:
//! `rtdetrv2_decoder.py`).

use detrace_config::{self as config, Config, Sampling};
use detrace_flops::{Kind, Param};

use super::encoder::activation;
use super::layers::{Attention, LayerNorm, Linear, Mlp};
use super::selection::{Projection, Selection};
use super::sheet::{Map, Sheet, Tokens, inside};

/// Makes the transformer, then runs it on the encoder's maps.
pub(super) fn transformer(sheet: &mut Sheet, config: &Config, maps: &[Map]) {
    let root = "decoder";
    let (width, count, classes) = (config.decoder.hidden_dim, config.decoder.layers, config.classes);
    let projection = Projection::make(sheet, root, config);
    let layers: Vec<Layer> = (0..count)
        .map(|layer| Layer::make(sheet, inside(root, format_args!("decoder.layers.{layer}")), &config.decoder))
        .collect();
    // Only training reads it.
    sheet.own(&inside(root, "denoising_class_embed"), &[Param::named("weight", &[classes + 1, width])]);
    let query_positions = Mlp::make(sheet, &inside(root, "query_pos_head"), &[4, 2 * width, width]);
    let selection = Selection::make(sheet, root, config);
    let score_heads: Vec<Linear> = (0..count)
        .map(|layer| Linear::make(sheet, inside(root, format_args!("dec_score_head.{layer}")), width, classes))
        .collect();
    let box_heads: Vec<Mlp> = (0..count)
        .map(|layer| Mlp::make(sheet, &inside(root, format_args!("dec_bbox_head.{layer}")), &[width, width, width, 4]))
        .collect();

    let memory = projection.on(sheet, maps);
    let (queries, boxes) = selection.on(sheet, memory);
    let block = inside(root, "decoder");
    sheet.map(&block, "reference", Kind::Sigmoid, &boxes);
    let run = config.decoder.layers_run();
    for (layer, box_head) in layers.iter().zip(&box_heads).take(run) {
        query_positions.on(sheet, boxes);
        layer.on(sheet, queries, boxes, memory);
        let offsets = box_head.on(sheet, queries);
        sheet.map(&block, "inverse_sigmoid", Kind::Sigmoid, &boxes);
        sheet.add(&block, "refine", &offsets, &boxes);
        sheet.map(&block, "refined", Kind::Sigmoid, &boxes);
    }
    // Classes are read off the last layer that runs.
    if let Some(head) = run.checked_sub(1).and_then(|last| score_heads.get(last)) {
        head.on(sheet, queries);
    }
}

/// A decoder layer: queries look at each other, then at the maps, then at themselves.
struct Layer {
    path: String,
    attention: Attention,
    deformable: Deformable,
    norms: [LayerNorm; 3],
    widen: Linear,
    narrow: Linear,
}

impl Layer {
    fn make(sheet: &mut Sheet, path: String, config: &config::Decoder) -> Layer {
        let (width, wide) = (config.hidden_dim, config.dim_feedforward);
        let attention = Attention::make(sheet, inside(&path, "self_attn"), width, config.heads);
        let norm1 = LayerNorm::make(sheet, inside(&path, "norm1"), width);
        let deformable = Deformable::make(sheet, inside(&path, "cross_attn"), config);
        let norm2 = LayerNorm::make(sheet, inside(&path, "norm2"), width);
        let widen = Linear::make(sheet, inside(&path, "linear1"), width, wide)
            .act(activation(config.activation), inside(&path, "activation"));
        let narrow = Linear::make(sheet, inside(&path, "linear2"), wide, width);
        let norm3 = LayerNorm::make(sheet, inside(&path, "norm3"), width);
        Layer { path, attention, deformable, norms: [norm1, norm2, norm3], widen, narrow }
    }

    fn on(&self, sheet: &mut Sheet, x: Tokens, boxes: Tokens, memory: Tokens) {
        let block = self.path.as_str();
        sheet.add(block, "self_pos_embed", &x, &x);
        self.attention.on(sheet, x);
        self.norms[0].on_sum(sheet, x, block, "residual1");
        sheet.add(block, "cross_pos_embed", &x, &x);
        self.deformable.on(sheet, x, boxes, memory);
        self.norms[1].on_sum(sheet, x, block, "residual2");
        let wide = self.widen.on(sheet, x);
        self.narrow.on(sheet, wide);
        self.norms[2].on_sum(sheet, x, block, "residual3");
    }
}

/// Multi-scale deformable attention (Zhu et al. 2021, equation 3).
struct Deformable {
    path: String,
    offsets: Linear,
    weights: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
    /// Sampling points of one head on all levels.
    points: usize,
    sampling: Sampling,
}

impl Deformable {
    fn make(sheet: &mut Sheet, path: String, config: &config::Decoder) -> Deformable {
        let (width, heads) = (config.hidden_dim, config.heads);
        let points: usize = config.points.iter().sum();
        let mut make = |name: &str, output| Linear::make(sheet, inside(&path, name), width, output);
        let offsets = make("sampling_offsets", heads * points * 2);
        let weights = make("attention_weights", heads * points);
        let value = make("value_proj", width);
        let output = make("output_proj", width);
        Deformable { path, offsets, weights, value, output, heads, points, sampling: config.sampling }
    }

    fn on(&self, sheet: &mut Sheet, query: Tokens, boxes: Tokens, memory: Tokens) {
        let (block, heads, points) = (self.path.as_str(), self.heads, self.points);
        let [batch, queries, _] = query;
        let value = self.value.on(sheet, memory);
        self.offsets.on(sheet, query);
        self.weights.on(sheet, query);
        let weights = [batch, queries, heads, points];
        sheet.map(block, "softmax", Kind::Softmax, &weights);
        let places = [batch, queries, heads, points, 2];
        let corner = [boxes[0], boxes[1], 1, 1, boxes[2] / 2];
        sheet.add(block, "locations", &places, &corner);
        sheet.fused(&format!("{block}#locations"), |sheet| {
            sheet.step(block, "offset_scale", Kind::Mul, &[&places, &[points, 1]], &places);
            sheet.step(block, "offset_size", Kind::Mul, &[&places, &corner], &places);
        });
        self.sample(sheet, value, places, weights);
        self.output.on(sheet, query);
    }

    /// One kernel samples, weighs and sums; what it does is written down step by step.
    fn sample(&self, sheet: &mut Sheet, value: Tokens, places: [usize; 5], weights: [usize; 4]) {
        let block = self.path.as_str();
        let [batch, queries, heads, points] = weights;
        let width = value[2];
        let samples = [batch, queries, heads, points, width / heads];
        let kind = match self.sampling {
            Sampling::Default => Kind::GridSample,
            Sampling::Discrete => Kind::Gather,
        };
        sheet.step(block, "sampling", kind, &[&value, &places], &samples);
        sheet.fused(&format!("{block}#sampling"), |sheet| {
            if self.sampling == Sampling::Discrete {
                sheet.map(block, "to_pixels", Kind::Mul, &places);
                sheet.map(block, "round", Kind::Add, &places);
            }
            sheet.step(block, "weight", Kind::Mul, &[&samples, &weights], &samples);
            sheet.step(block, "sum", Kind::Add, &[&samples], &[batch, queries, width]);
        });
    }
}
