//! The tensors that an RT-DETR checkpoint can hold, by their canonical names: those of the official RT-DETRv2 code.

use super::pattern::read_all;

/// What a tensor is, as far as converting it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Kernel `[out, in / groups, height, width]` or bias of a convolution.
    Conv,
    /// Scale, shift or running statistics of a batch norm, or scale and shift of a layer norm.
    Norm,
    /// Weight `[out, in]` or bias of a linear layer, the packed projections of an attention included.
    Linear,
    /// Table `[rows, width]` of an embedding.
    Embedding,
    /// Follows from the configuration or is used in training only; why it is not needed.
    Constant(&'static str),
}

const CONV: &[&str] = &["weight"];
const AFFINE: &[&str] = &["weight", "bias"];
const BATCH_NORM: &[&str] = &["weight", "bias", "running_mean", "running_var"];
const IN_PROJ: &[&str] = &["in_proj_weight", "in_proj_bias"];

const COUNTER: &str = "counts training steps";
const ANCHORS: &str = "follows from the image size";
const POINTS: &str = "follows from the points per level";
const POSITIONS: &str = "follows from the image size and the temperature";

/// Modules, the names of their tensors, and the tensors' kind. Each name is written once; the first row that fits wins.
const ROWS: &[(&str, &[&str], Kind)] = &[
    // ResNet-vd
    ("backbone.conv1.conv1_{n}.conv", CONV, Kind::Conv),
    ("backbone.conv1.conv1_{n}.norm", BATCH_NORM, Kind::Norm),
    ("backbone.res_layers.{s}.blocks.{b}.branch2{k:letter}.conv", CONV, Kind::Conv),
    ("backbone.res_layers.{s}.blocks.{b}.branch2{k:letter}.norm", BATCH_NORM, Kind::Norm),
    ("backbone.res_layers.{s}.blocks.{b}.short.conv", CONV, Kind::Conv),
    ("backbone.res_layers.{s}.blocks.{b}.short.norm", BATCH_NORM, Kind::Norm),
    ("backbone.res_layers.{s}.blocks.{b}.short.conv.conv", CONV, Kind::Conv),
    ("backbone.res_layers.{s}.blocks.{b}.short.conv.norm", BATCH_NORM, Kind::Norm),
    // HGNetv2
    ("backbone.stem.stem{n}.conv", CONV, Kind::Conv),
    ("backbone.stem.stem2{k:letter}.conv.1", CONV, Kind::Conv),
    ("backbone.stem.stem{n}.bn", BATCH_NORM, Kind::Norm),
    ("backbone.stem.stem2{k:letter}.bn", BATCH_NORM, Kind::Norm),
    ("backbone.stages.{s}.downsample.conv", CONV, Kind::Conv),
    ("backbone.stages.{s}.downsample.bn", BATCH_NORM, Kind::Norm),
    ("backbone.stages.{s}.blocks.{b}.layers.{n}.conv", CONV, Kind::Conv),
    ("backbone.stages.{s}.blocks.{b}.layers.{n}.bn", BATCH_NORM, Kind::Norm),
    ("backbone.stages.{s}.blocks.{b}.layers.{n}.conv{k}.conv", CONV, Kind::Conv),
    ("backbone.stages.{s}.blocks.{b}.layers.{n}.conv{k}.bn", BATCH_NORM, Kind::Norm),
    ("backbone.stages.{s}.blocks.{b}.aggregation_{w=squeeze|excitation}_conv.conv", CONV, Kind::Conv),
    ("backbone.stages.{s}.blocks.{b}.aggregation_{w=squeeze|excitation}_conv.bn", BATCH_NORM, Kind::Norm),
    // hybrid encoder
    ("encoder.input_proj.{n}.conv", CONV, Kind::Conv),
    ("encoder.input_proj.{n}.norm", BATCH_NORM, Kind::Norm),
    ("encoder.encoder.{n}.layers.{l}.self_attn", IN_PROJ, Kind::Linear),
    ("encoder.encoder.{n}.layers.{l}.self_attn.out_proj", AFFINE, Kind::Linear),
    ("encoder.encoder.{n}.layers.{l}.linear{k}", AFFINE, Kind::Linear),
    ("encoder.encoder.{n}.layers.{l}.norm{k}", AFFINE, Kind::Norm),
    ("encoder.{w=lateral|downsample}_convs.{n}.conv", CONV, Kind::Conv),
    ("encoder.{w=lateral|downsample}_convs.{n}.norm", BATCH_NORM, Kind::Norm),
    ("encoder.{w=fpn|pan}_blocks.{n}.conv{k}.conv", CONV, Kind::Conv),
    ("encoder.{w=fpn|pan}_blocks.{n}.conv{k}.norm", BATCH_NORM, Kind::Norm),
    ("encoder.{w=fpn|pan}_blocks.{n}.bottlenecks.{b}.conv{k}.conv", CONV, Kind::Conv),
    ("encoder.{w=fpn|pan}_blocks.{n}.bottlenecks.{b}.conv{k}.norm", BATCH_NORM, Kind::Norm),
    ("encoder.{w=fpn|pan}_blocks.{n}.bottlenecks.{b}.conv", AFFINE, Kind::Conv), // merged for deployment
    // decoder
    ("decoder.input_proj.{n}.conv", CONV, Kind::Conv),
    ("decoder.input_proj.{n}.norm", BATCH_NORM, Kind::Norm),
    ("decoder.decoder.layers.{l}.self_attn", IN_PROJ, Kind::Linear),
    ("decoder.decoder.layers.{l}.self_attn.out_proj", AFFINE, Kind::Linear),
    ("decoder.decoder.layers.{l}.cross_attn.sampling_offsets", AFFINE, Kind::Linear),
    ("decoder.decoder.layers.{l}.cross_attn.attention_weights", AFFINE, Kind::Linear),
    ("decoder.decoder.layers.{l}.cross_attn.{w=value|output}_proj", AFFINE, Kind::Linear),
    ("decoder.decoder.layers.{l}.linear{k}", AFFINE, Kind::Linear),
    ("decoder.decoder.layers.{l}.norm{k}", AFFINE, Kind::Norm),
    ("decoder.denoising_class_embed", CONV, Kind::Embedding),
    ("decoder.tgt_embed", CONV, Kind::Embedding),
    ("decoder.query_pos_head.layers.{n}", AFFINE, Kind::Linear),
    ("decoder.enc_output.proj", AFFINE, Kind::Linear),
    ("decoder.enc_output.norm", AFFINE, Kind::Norm),
    ("decoder.enc_score_head", AFFINE, Kind::Linear),
    ("decoder.enc_bbox_head.layers.{n}", AFFINE, Kind::Linear),
    ("decoder.dec_score_head.{l}", AFFINE, Kind::Linear),
    ("decoder.dec_bbox_head.{l}.layers.{n}", AFFINE, Kind::Linear),
    // constants
    ("decoder", &["anchors", "valid_mask"], Kind::Constant(ANCHORS)),
    ("decoder.decoder.layers.{l}.cross_attn", &["num_points_scale"], Kind::Constant(POINTS)),
    ("encoder", &["pos_embed0", "pos_embed1", "pos_embed2", "pos_embed3"], Kind::Constant(POSITIONS)),
];

/// What the tensor of that canonical name is; `None` if an RT-DETR has no such tensor.
pub fn kind(name: &str) -> Option<Kind> {
    let (module, leaf) = name.rsplit_once('.')?;
    let mut rows = ROWS.iter().filter(|(pattern, _, _)| read_all(pattern, module).is_some());
    if leaf == "num_batches_tracked" {
        return rows.find(|(_, leaves, _)| *leaves == BATCH_NORM).map(|_| Kind::Constant(COUNTER));
    }
    rows.find(|(_, leaves, _)| leaves.contains(&leaf)).map(|(_, _, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::super::pattern::letters;
    use super::*;

    #[test]
    fn every_pattern_is_well_formed() {
        for (pattern, _, _) in ROWS {
            assert!(letters(pattern).is_some(), "{pattern}");
        }
    }

    #[test]
    fn kinds_follow_from_names() {
        assert_eq!(kind("backbone.res_layers.2.blocks.22.branch2c.conv.weight"), Some(Kind::Conv));
        assert_eq!(kind("decoder.dec_score_head.0.bias"), Some(Kind::Linear));
        assert_eq!(kind("decoder.denoising_class_embed.weight"), Some(Kind::Embedding));
        assert_eq!(kind("encoder.lateral_convs.0.norm.num_batches_tracked"), Some(Kind::Constant(COUNTER)));
        assert_eq!(kind("decoder.decoder.layers.0.norm1.num_batches_tracked"), None);
        assert_eq!(kind("decoder.enc_output.0.weight"), None);
        assert_eq!(kind("backbone.stem.stem2a.conv.weight"), None);
        assert_eq!(kind("optimizer"), None);
    }
}
