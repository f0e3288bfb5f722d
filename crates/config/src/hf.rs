//! Hugging Face's `config.json` of `rt_detr` and `rt_detr_v2`.
//!
//! A saved file leaves out what equals the default, so absent keys take the defaults of `RTDetrConfig` and
//! `RTDetrV2Config` (transformers 5.23). Two of them are not what one expects: a file without labels has 2 classes, and
//! without `backbone_config` the backbone is ResNet-50.
//!
//! transformers accepts any key, and files carry keys of other tools. An unknown key that is near a known one is a
//! mistyping and an error; any other is a warning.

mod backbone;
mod processor;

use std::collections::BTreeSet;
use std::rc::Rc;

pub(crate) use self::processor::read as read_processor;
use crate::node::{Map, Place, Value};
use crate::section::Section;
use crate::{Config, ConfigError, Decoder, Encoder, FeedForward, Preprocess, Sampling, Version};

/// Unknown keys that are looked at one by one; a file with more of them is no configuration.
const MOST_UNKNOWN: usize = 50;

/// Keys of every transformers configuration, some of them of older versions. None shapes a detector.
const GENERIC: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "add_cross_attention",
    "architectures",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "problem_type",
    "pruned_heads",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
];

/// Keys of the detector's configuration that do not shape the network at inference.
const TRAINING: &[&str] = &[
    "activation_dropout",
    "attention_dropout",
    "auxiliary_loss",
    "backbone_kwargs",
    "box_noise_scale",
    "disable_custom_kernels",
    "dropout",
    "eos_coefficient",
    "focal_loss_alpha",
    "focal_loss_gamma",
    "initializer_bias_prior_prob",
    "initializer_range",
    "label_noise_ratio",
    "matcher_alpha",
    "matcher_bbox_cost",
    "matcher_class_cost",
    "matcher_gamma",
    "matcher_giou_cost",
    "num_denoising",
    "use_focal_loss",
    "use_pretrained_backbone",
    "use_timm_backbone",
    "weight_loss_bbox",
    "weight_loss_giou",
    "weight_loss_vfl",
    // transformers declares it and never reads it: boxes are always refined.
    "with_box_refine",
];

/// Reads the configuration in `file`.
pub(crate) fn read(name: String, file: &Rc<str>, top: &Map, warnings: &mut Vec<String>) -> Result<Config, ConfigError> {
    let top = Section::new("", Place { file: file.clone(), line: 1 }, top);
    top.ignore(GENERIC);
    top.ignore(TRAINING);
    let version = match top.text("model_type")? {
        Some("rt_detr") => Version::V1,
        Some("rt_detr_v2") => Version::V2,
        other => {
            let fault = format_args!("{} is not built; rt_detr and rt_detr_v2 are", other.unwrap_or("null"));
            return Err(top.fault("model_type", fault));
        }
    };
    for key in ["layer_norm_eps", "batch_norm_eps"] {
        top.only(key, top.f64(key)?, 1e-5, 1e-5)?;
    }
    top.only("normalize_before", top.bool("normalize_before")?, false, false)?;
    let act = top.text("activation_function")?.map(|name| if name == "swish" { "silu" } else { name });
    top.only("activation_function", act, "silu", "silu")?;
    if let Some(size) = top.some("eval_size") {
        let fault = format_args!(
            "{}: with it transformers leaves out the positional embedding, which is not built",
            size.value
        );
        return Err(top.fault("eval_size", fault));
    }
    let backbone = backbone::read(&top, warnings)?;
    let encoder = encoder(&top)?;
    let decoder = decoder(&top, version)?;
    let mut preprocess = Preprocess::default();
    if let Some(size) = top.size("anchor_image_size")? {
        preprocess.size = size;
    }
    let config = Config {
        name,
        version,
        classes: classes(&top)?,
        labels: labels(&top),
        backbone,
        encoder,
        decoder,
        preprocess,
        published: None,
        weights: Vec::new(),
    };
    config.check().map_err(|error| locate(error, &top))?;
    check_levels(&config, &top, warnings)?;
    leftover(&top, warnings)?;
    Ok(config)
}

fn encoder(top: &Section<'_>) -> Result<Encoder, ConfigError> {
    Ok(Encoder {
        hidden_dim: top.usize("encoder_hidden_dim")?.unwrap_or(256),
        layers: top.usize("encoder_layers")?.unwrap_or(1),
        heads: aliased(top, "encoder_attention_heads", "num_attention_heads")?.unwrap_or(8),
        dim_feedforward: top.usize("encoder_ffn_dim")?.unwrap_or(1024),
        use_encoder_idx: top.usizes("encode_proj_layers")?.unwrap_or_else(|| vec![2]),
        expansion: top.f64("hidden_expansion")?.unwrap_or(1.0),
        depth_mult: 1.0,
        pe_temperature: top.f64("positional_encoding_temperature")?.unwrap_or(10_000.0),
        activation: top.feed_forward("encoder_activation_function", FeedForward::Gelu)?,
    })
}

fn decoder(top: &Section<'_>, version: Version) -> Result<Decoder, ConfigError> {
    let levels = top.usize("num_feature_levels")?.unwrap_or(3);
    let (mut sampling, mut offset_scale) = (Sampling::Default, 0.5);
    if version == Version::V2 {
        let sampled = top.usize("decoder_n_levels")?.unwrap_or(3);
        if sampled != levels {
            let fault = format_args!("{sampled} contradicts num_feature_levels {levels}");
            return Err(top.fault("decoder_n_levels", fault));
        }
        offset_scale = top.f64("decoder_offset_scale")?.unwrap_or(0.5);
        sampling = match top.text("decoder_method")? {
            None | Some("default") => Sampling::Default,
            Some("discrete") => Sampling::Discrete,
            Some(other) => {
                return Err(top.fault("decoder_method", format_args!("{other} is neither default nor discrete")));
            }
        };
    }
    // A level count that no network has is refused afterwards; until then it must not ask for memory.
    let points = vec![top.usize("decoder_n_points")?.unwrap_or(4); levels.min(64)];
    Ok(Decoder {
        hidden_dim: aliased(top, "d_model", "hidden_size")?.unwrap_or(256),
        queries: top.usize("num_queries")?.unwrap_or(300),
        layers: top.usize("decoder_layers")?.unwrap_or(6),
        eval_idx: -1,
        heads: top.usize("decoder_attention_heads")?.unwrap_or(8),
        dim_feedforward: top.usize("decoder_ffn_dim")?.unwrap_or(1024),
        levels,
        points,
        sampling,
        offset_scale,
        learn_query_content: top.bool("learn_initial_query")?.unwrap_or(false),
        activation: top.feed_forward("decoder_activation_function", FeedForward::Relu)?,
    })
}

/// A number that transformers accepts under two names.
fn aliased(top: &Section<'_>, key: &'static str, alias: &'static str) -> Result<Option<usize>, ConfigError> {
    match (top.usize(key)?, top.usize(alias)?) {
        (Some(one), Some(other)) if one != other => {
            Err(top.fault(alias, format_args!("{other} contradicts {key} {one}, of which it is another name")))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// The number of labels, however it is said; 2 if it is not, as transformers has it.
fn classes(top: &Section<'_>) -> Result<usize, ConfigError> {
    let number = top.some("num_labels").and_then(|_| top.usize("num_labels").transpose()).transpose()?;
    let labels = match top.some("id2label").map(|node| &node.value) {
        None => None,
        Some(Value::Map(labels)) => Some(labels.len()),
        Some(other) => {
            return Err(top.fault("id2label", format_args!("{other} is not a mapping from numbers to names")));
        }
    };
    if let (Some(number), Some(labels)) = (number, labels)
        && number != labels
    {
        return Err(top.fault("num_labels", format_args!("{number} contradicts id2label, which has {labels} labels")));
    }
    Ok(number.or(labels).unwrap_or(2))
}

/// The names of the classes by number, empty if there are none or only the placeholders of transformers (`LABEL_0`).
fn labels(top: &Section<'_>) -> Vec<String> {
    let Some(Value::Map(map)) = top.some("id2label").map(|node| &node.value) else { return Vec::new() };
    let name = |class: usize| match &map.get(&class.to_string())?.node.value {
        Value::Text(name) => Some(name.clone()),
        other => Some(other.to_string()),
    };
    let names: Option<Vec<String>> = (0..map.len()).map(name).collect();
    let placeholder = |(class, name): (usize, &String)| *name == format!("LABEL_{class}");
    names.filter(|names| !names.iter().enumerate().all(placeholder)).unwrap_or_default()
}

/// Checks the keys that say again what the backbone and the encoder say. The configuration must have been checked.
fn check_levels(config: &Config, top: &Section<'_>, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    let strides = config.backbone.strides();
    let count = strides.len();
    let feat_strides = top.usizes("feat_strides")?.unwrap_or_else(|| vec![8, 16, 32]);
    if feat_strides.get(..count) != Some(&strides) {
        let fault = format_args!("{feat_strides:?} contradicts the backbone's levels, whose strides are {strides:?}");
        return Err(top.fault("feat_strides", fault));
    }
    if config.decoder.levels > count + 1 {
        let fault = format_args!(
            "{} is not built for {count} levels of the backbone: transformers makes more than one further level in \
             a way of its own",
            config.decoder.levels
        );
        return Err(top.fault("num_feature_levels", fault));
    }
    let channels = top.usizes("decoder_in_channels")?.unwrap_or_else(|| vec![256; 3]);
    let width = config.encoder.hidden_dim;
    if channels.len() != count || channels.iter().any(|&channels| channels != width) {
        let fault =
            format_args!("{channels:?} contradicts the encoder, which gives {count} levels of {width} channels");
        return Err(top.fault("decoder_in_channels", fault));
    }
    // Of this list transformers only uses the length.
    let channels = top.usizes("encoder_in_channels")?.unwrap_or_else(|| vec![512, 1024, 2048]);
    let given = config.backbone.out_channels();
    if channels.len() != count {
        let fault = format_args!("{channels:?} contradicts the backbone, which gives {count} levels");
        return Err(top.fault("encoder_in_channels", fault));
    }
    if channels != given && top.get("encoder_in_channels").is_some() {
        let place = top.place_of("encoder_in_channels");
        warnings.push(format!("{place}: encoder_in_channels is {channels:?}; the backbone's {given:?} hold"));
    }
    Ok(())
}

/// Keys that nobody asked for: an error if one looks mistyped, otherwise a warning.
fn leftover(section: &Section<'_>, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    let unknown = section.unknown();
    let mut names = BTreeSet::new();
    for (key, place) in unknown.iter().take(MOST_UNKNOWN) {
        if section.near(key).is_some() {
            return Err(section.unknown_key(key, place));
        }
        names.insert(section.full(key));
    }
    if let Some((_, place)) = unknown.first() {
        let more = unknown.len() - names.len().min(unknown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names: Vec<String> = names.into_iter().collect();
        warnings.push(format!("{place}: ignored, as transformers does: {}{more}", names.join(", ")));
    }
    Ok(())
}

/// Where a key of [`Config`] comes from.
const ORIGINS: &[(&str, &str)] = &[
    ("classes", "id2label"),
    ("classes", "num_labels"),
    ("backbone.return_idx", "backbone_config"),
    ("encoder.hidden_dim", "encoder_hidden_dim"),
    ("encoder.layers", "encoder_layers"),
    ("encoder.heads", "encoder_attention_heads"),
    ("encoder.heads", "num_attention_heads"),
    ("encoder.dim_feedforward", "encoder_ffn_dim"),
    ("encoder.use_encoder_idx", "encode_proj_layers"),
    ("encoder.expansion", "hidden_expansion"),
    ("encoder.pe_temperature", "positional_encoding_temperature"),
    ("decoder.hidden_dim", "d_model"),
    ("decoder.hidden_dim", "hidden_size"),
    ("decoder.heads", "decoder_attention_heads"),
    ("decoder.dim_feedforward", "decoder_ffn_dim"),
    ("decoder.queries", "num_queries"),
    ("decoder.layers", "decoder_layers"),
    ("decoder.eval_idx", "decoder_layers"),
    ("decoder.levels", "num_feature_levels"),
    ("decoder.levels", "backbone_config"),
    ("decoder.points", "decoder_n_points"),
    ("decoder.offset_scale", "decoder_offset_scale"),
    ("preprocess", "anchor_image_size"),
];

/// An error of [`Config::check`] in the words of the user's file, at its line if the key is written there.
fn locate(error: ConfigError, top: &Section<'_>) -> ConfigError {
    let (key, fault) = match &error {
        ConfigError::Value { key, fault, .. } => (*key, fault.clone()),
        ConfigError::Input { .. } => ("preprocess", error.to_string()),
        _ => return error,
    };
    let theirs = ORIGINS.iter().find(|(ours, theirs)| *ours == key && top.some(theirs).is_some());
    theirs.map_or(error, |(_, theirs)| top.fault(theirs, fault))
}
