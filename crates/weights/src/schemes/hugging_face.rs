//! Names in Hugging Face's transformers: the files on the hub, which transformers 4 and 5 both write, and the names
//! that modules have while they live in transformers 5 (`aifi`, `mlp.fc1`, `o_proj`), which a plain `state_dict` holds.

use super::table::{Row, Table};

const STAGE: &str = "model.backbone.model.encoder.stages.{s}.layers.{b}.layer.{k}.convolution";

pub(super) const TABLE: Table = Table {
    rows: &[
        // RTDetrResNetBackbone
        Row("backbone.conv1.conv1_{n:+1}.conv", &["model.backbone.model.embedder.embedder.{n}.convolution"]),
        Row("backbone.conv1.conv1_{n:+1}.norm", &["model.backbone.model.embedder.embedder.{n}.normalization"]),
        Row("backbone.res_layers.{s}.blocks.{b}.branch2{k:letter}.conv", &[STAGE]),
        Row(
            "backbone.res_layers.{s}.blocks.{b}.branch2{k:letter}.norm",
            &["model.backbone.model.encoder.stages.{s}.layers.{b}.layer.{k}.normalization"],
        ),
        Row(
            "backbone.res_layers.{s}.blocks.{b}.short.conv.conv",
            &["model.backbone.model.encoder.stages.{s}.layers.{b}.shortcut.1.convolution"],
        ),
        Row(
            "backbone.res_layers.{s}.blocks.{b}.short.conv.norm",
            &["model.backbone.model.encoder.stages.{s}.layers.{b}.shortcut.1.normalization"],
        ),
        Row(
            "backbone.res_layers.{s}.blocks.{b}.short.conv",
            &["model.backbone.model.encoder.stages.{s}.layers.{b}.shortcut.convolution"],
        ),
        Row(
            "backbone.res_layers.{s}.blocks.{b}.short.norm",
            &["model.backbone.model.encoder.stages.{s}.layers.{b}.shortcut.normalization"],
        ),
        Row(
            "backbone.res_layers.{s}.blocks.{b}.short.pool",
            &["model.backbone.model.encoder.stages.{s}.layers.{b}.shortcut.0"],
        ),
        Row("backbone.res_layers.{s}.blocks.{b}", &["model.backbone.model.encoder.stages.{s}.layers.{b}"]),
        Row("backbone.res_layers.{s}", &["model.backbone.model.encoder.stages.{s}"]),
        // HGNetV2Backbone, as in PP-DocLayout
        Row("backbone.stem.stem2{k:letter}.conv.1", &["model.backbone.model.embedder.stem2{k:letter}.convolution"]),
        Row("backbone.stem.stem2{k:letter}.bn", &["model.backbone.model.embedder.stem2{k:letter}.normalization"]),
        Row("backbone.stem.stem{n}.conv", &["model.backbone.model.embedder.stem{n}.convolution"]),
        Row("backbone.stem.stem{n}.bn", &["model.backbone.model.embedder.stem{n}.normalization"]),
        Row("backbone.stem.pool.1", &["model.backbone.model.embedder.pool"]),
        Row("backbone.stem", &["model.backbone.model.embedder"]),
        Row("backbone.stages.{s}.downsample.conv", &["model.backbone.model.encoder.stages.{s}.downsample.convolution"]),
        Row("backbone.stages.{s}.downsample.bn", &["model.backbone.model.encoder.stages.{s}.downsample.normalization"]),
        Row(
            "backbone.stages.{s}.blocks.{b}.layers.{n}.conv{k}.conv",
            &["model.backbone.model.encoder.stages.{s}.blocks.{b}.layers.{n}.conv{k}.convolution"],
        ),
        Row(
            "backbone.stages.{s}.blocks.{b}.layers.{n}.conv{k}.bn",
            &["model.backbone.model.encoder.stages.{s}.blocks.{b}.layers.{n}.conv{k}.normalization"],
        ),
        Row(
            "backbone.stages.{s}.blocks.{b}.layers.{n}.conv",
            &["model.backbone.model.encoder.stages.{s}.blocks.{b}.layers.{n}.convolution"],
        ),
        Row(
            "backbone.stages.{s}.blocks.{b}.layers.{n}.bn",
            &["model.backbone.model.encoder.stages.{s}.blocks.{b}.layers.{n}.normalization"],
        ),
        Row(
            "backbone.stages.{s}.blocks.{b}.aggregation_{w=squeeze|excitation}_conv.conv",
            &["model.backbone.model.encoder.stages.{s}.blocks.{b}.aggregation.{w}.convolution"],
        ),
        Row(
            "backbone.stages.{s}.blocks.{b}.aggregation_{w=squeeze|excitation}_conv.bn",
            &["model.backbone.model.encoder.stages.{s}.blocks.{b}.aggregation.{w}.normalization"],
        ),
        Row(
            "backbone.stages.{s}.blocks.{b}.aggregation_{w=squeeze|excitation}_conv",
            &["model.backbone.model.encoder.stages.{s}.blocks.{b}.aggregation.{w}"],
        ),
        Row("backbone.stages.{s}", &["model.backbone.model.encoder.stages.{s}"]),
        Row("backbone.conv1", &["model.backbone.model.embedder.embedder"]),
        Row("backbone", &["model.backbone.model"]),
        // hybrid encoder
        Row("encoder.input_proj.{n}.conv", &["model.encoder_input_proj.{n}.0"]),
        Row("encoder.input_proj.{n}.norm", &["model.encoder_input_proj.{n}.1"]),
        Row("encoder.input_proj", &["model.encoder_input_proj"]),
        Row(
            "encoder.encoder.{n}.layers.{l}.self_attn.out_proj",
            &[
                "model.encoder.encoder.{n}.layers.{l}.self_attn.out_proj",
                "model.encoder.aifi.{n}.layers.{l}.self_attn.o_proj",
            ],
        ),
        Row(
            "encoder.encoder.{n}.layers.{l}.linear{k}",
            &["model.encoder.encoder.{n}.layers.{l}.fc{k}", "model.encoder.aifi.{n}.layers.{l}.mlp.fc{k}"],
        ),
        Row(
            "encoder.encoder.{n}.layers.{l}.norm1",
            &[
                "model.encoder.encoder.{n}.layers.{l}.self_attn_layer_norm",
                "model.encoder.aifi.{n}.layers.{l}.self_attn_layer_norm",
            ],
        ),
        Row(
            "encoder.encoder.{n}.layers.{l}.norm2",
            &[
                "model.encoder.encoder.{n}.layers.{l}.final_layer_norm",
                "model.encoder.aifi.{n}.layers.{l}.final_layer_norm",
            ],
        ),
        Row("encoder.encoder.{n}", &["model.encoder.encoder.{n}", "model.encoder.aifi.{n}"]),
        Row("encoder", &["model.encoder"]),
        // decoder
        Row("decoder.input_proj.{n}.conv", &["model.decoder_input_proj.{n}.0"]),
        Row("decoder.input_proj.{n}.norm", &["model.decoder_input_proj.{n}.1"]),
        Row("decoder.input_proj", &["model.decoder_input_proj"]),
        Row("decoder.decoder.layers.{l}.cross_attn", &["model.decoder.layers.{l}.encoder_attn"]),
        Row(
            "decoder.decoder.layers.{l}.self_attn.out_proj",
            &["model.decoder.layers.{l}.self_attn.out_proj", "model.decoder.layers.{l}.self_attn.o_proj"],
        ),
        Row(
            "decoder.decoder.layers.{l}.linear{k}",
            &["model.decoder.layers.{l}.fc{k}", "model.decoder.layers.{l}.mlp.fc{k}"],
        ),
        Row("decoder.decoder.layers.{l}.norm1", &["model.decoder.layers.{l}.self_attn_layer_norm"]),
        Row("decoder.decoder.layers.{l}.norm2", &["model.decoder.layers.{l}.encoder_attn_layer_norm"]),
        Row("decoder.decoder.layers.{l}.norm3", &["model.decoder.layers.{l}.final_layer_norm"]),
        Row("decoder.decoder", &["model.decoder"]),
        Row("decoder.query_pos_head", &["model.decoder.query_pos_head"]),
        // The heads are tied to the decoder's; either copy or both may be in a file.
        Row("decoder.dec_score_head.{l}", &["model.decoder.class_embed.{l}", "class_embed.{l}"]),
        Row("decoder.dec_bbox_head.{l}", &["model.decoder.bbox_embed.{l}", "bbox_embed.{l}"]),
        Row("decoder.tgt_embed", &["model.weight_embedding"]),
        Row("decoder.denoising_class_embed", &["model.denoising_class_embed"]),
        Row("decoder.enc_output.proj", &["model.enc_output.0"]),
        Row("decoder.enc_output.norm", &["model.enc_output.1"]),
        Row("decoder.enc_output", &["model.enc_output"]),
        Row("decoder.enc_{w=score|bbox}_head", &["model.enc_{w=score|bbox}_head"]),
        Row("decoder", &["model"]),
    ],
    leaves: &[("num_points_scale", "n_points_scale")],
};

/// The names of an attention's three projections, in the order in which `in_proj_weight` packs them.
const PROJECTIONS: [&str; 3] = ["q_proj", "k_proj", "v_proj"];

/// Splits `…self_attn.q_proj.weight` into `…self_attn.in_proj_weight` and 0.
pub(super) fn packed(name: &str) -> Option<(String, usize)> {
    let (path, leaf) = name.rsplit_once('.')?;
    let (attention, projection) = path.rsplit_once('.')?;
    let index = PROJECTIONS.iter().position(|known| *known == projection)?;
    matches!(leaf, "weight" | "bias").then(|| (format!("{attention}.in_proj_{leaf}"), index))
}

/// The three names that `…self_attn.in_proj_weight` is stored under.
pub(super) fn unpacked(name: &str) -> Option<[String; 3]> {
    let (attention, leaf) = name.rsplit_once(".in_proj_")?;
    Some(PROJECTIONS.map(|projection| format!("{attention}.{projection}.{leaf}")))
}
