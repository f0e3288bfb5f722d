//! The sections that make the network: `DETR`, its backbone, `HybridEncoder`, `RTDETRTransformer` or
//! `RTDETRTransformerv2`.

use super::backbone;
use crate::node::{Map, Node, Place, Value};
use crate::section::Section;
use crate::{Config, ConfigError, Decoder, Encoder, FeedForward, Preprocess, Sampling, Version};

/// Sections that describe some RT-DETR network.
pub(crate) const SECTIONS: &[&str] = &[
    "ResNet",
    "PPHGNetV2",
    "HybridEncoder",
    "TransformerLayer",
    "RTDETRTransformer",
    "RTDETRTransformerv2",
    "DINOHead",
];

/// Backbones that are built.
const BACKBONES: &[&str] = &["ResNet", "PPHGNetV2"];

/// What the sections say.
pub(super) struct Parts {
    /// The network, without a name of its own and with default preprocessing.
    pub(super) config: Config,
    /// Sections that were used.
    pub(super) sections: Vec<&'static str>,
    /// The input size that positions and anchors are made for, if it is fixed.
    pub(super) eval_size: Option<[usize; 2]>,
    /// Whether nothing gives the number of classes.
    pub(super) classes_by_default: bool,
    /// Strides that the anchors are made for.
    feat_strides: Vec<usize>,
}

/// The class that `DETR` names for a part, which must be one of those that are built.
fn part(
    detr: &Section<'_>,
    key: &'static str,
    default: &str,
    built: &[&'static str],
) -> Result<&'static str, ConfigError> {
    let name = detr.text(key)?.unwrap_or(default);
    built
        .iter()
        .find(|&&built| built == name)
        .copied()
        .ok_or_else(|| detr.fault(key, format_args!("{name} is not built; {} is", built.join(" or "))))
}

/// Refuses a backbone that is not built, whatever else may be lacking.
pub(super) fn check_backbone(tree: &Map) -> Result<(), ConfigError> {
    let Some(entry) = tree.get("DETR") else { return Ok(()) };
    let Value::Map(detr) = &entry.node.value else { return Ok(()) };
    if detr.contains_key("backbone") {
        part(&Section::new("DETR", entry.key.clone(), detr), "backbone", "", BACKBONES)?;
    }
    Ok(())
}

/// What a network needs and the files lack, if anything.
pub(super) fn lacking(tree: &Map) -> Option<String> {
    if !tree.contains_key("architecture") {
        return Some("`architecture`".into());
    }
    let Some(Value::Map(detr)) = tree.get("DETR").map(|entry| &entry.node.value) else {
        return Some("a DETR section".into());
    };
    for part in ["backbone", "neck", "transformer"] {
        match detr.get(part).map(|entry| &entry.node.value) {
            None => return Some(format!("DETR.{part}")),
            Some(Value::Text(name)) if !tree.contains_key(name) => return Some(format!("a {name} section")),
            Some(_) => {}
        }
    }
    None
}

impl Parts {
    /// Reads the sections of the merged files; `whole` is where what is in none of them is missed.
    pub(super) fn read(tree: &Map, whole: &Place) -> Result<Parts, ConfigError> {
        let top = Section::new("", whole.clone(), tree);
        match top.text("architecture")? {
            Some("DETR") => {}
            Some(other) => {
                return Err(
                    top.fault("architecture", format_args!("{other} is not RT-DETR; PaddleDetection's is DETR"))
                );
            }
            None => return Err(whole.fault("architecture is not given; RT-DETR's is DETR")),
        }
        let nothing = Map::new();
        let open = |name: &'static str| open(tree, name, whole, &nothing);

        let detr = open("DETR")?;
        detr.ignore(&["post_process", "post_process_semi", "exclude_post_process"]);
        holder(&detr, &top, "with_mask").only(
            "with_mask",
            shared(&detr, &top, "with_mask", Section::bool)?,
            false,
            false,
        )?;
        let part = |key, default, built| part(&detr, key, default, built);
        let backbone = part("backbone", "(nothing)", BACKBONES)?;
        let neck = part("neck", "(nothing)", &["HybridEncoder"])?;
        let transformer = part("transformer", "DETRTransformer", &["RTDETRTransformer", "RTDETRTransformerv2"])?;
        let head = part("detr_head", "DETRHead", &["DINOHead"])?;
        detr.finish()?;
        head_section(&open(head)?)?;

        let backbone_section = open(backbone)?;
        let features = match backbone {
            "ResNet" => backbone::resnet(&backbone_section, &top)?,
            _ => backbone::hgnet(&backbone_section)?,
        };
        backbone_section.finish()?;
        let (encoder, encoder_size) = encoder(&open(neck)?, &top, tree)?;
        let decoder_section = open(transformer)?;
        let version = if transformer == "RTDETRTransformer" { Version::V1 } else { Version::V2 };
        let decoder = decoder(&decoder_section, &top, version)?;
        let classes = shared(&decoder_section, &top, "num_classes", Section::usize)?;
        let decoder_size = shared(&decoder_section, &top, "eval_size", Section::size)?;
        let feat_strides = decoder_section.usizes("feat_strides")?.unwrap_or_else(|| vec![8, 16, 32]);
        decoder_section.finish()?;
        if let (Some(one), Some(other)) = (encoder_size, decoder_size)
            && one != other
        {
            let fault = format_args!("{other:?} contradicts HybridEncoder.eval_size {one:?}");
            return Err(decoder_section.fault("eval_size", fault));
        }
        Ok(Parts {
            config: Config {
                name: "unnamed".into(),
                version,
                classes: classes.unwrap_or(80),
                backbone: features,
                encoder,
                decoder,
                labels: Vec::new(),
                preprocess: Preprocess::default(),
                published: None,
                weights: Vec::new(),
            },
            sections: vec!["DETR", backbone, neck, "TransformerLayer", transformer, head],
            eval_size: decoder_size.or(encoder_size),
            classes_by_default: classes.is_none(),
            feat_strides,
        })
    }

    /// Checks what [`Config::check`] cannot know: the anchors' strides. The configuration must have been checked.
    pub(super) fn check_strides(&self, config: &Config, tree: &Map) -> Result<(), ConfigError> {
        let strides = config.backbone.strides();
        if self.feat_strides == strides {
            return Ok(());
        }
        let transformer = transformer(config.version);
        let place = find(tree, &[transformer, "feat_strides"]).or_else(|| find(tree, &[transformer]));
        let fault = format!(
            "{transformer}.feat_strides: {:?} contradicts the backbone's levels, whose strides are {strides:?}",
            self.feat_strides
        );
        Err(place.or_else(|| find(tree, &["architecture"])).map_or_else(
            || ConfigError::Value { model: config.name.clone(), key: "backbone.return_idx", fault: fault.clone() },
            |place| place.fault(fault.as_str()),
        ))
    }
}

fn transformer(version: Version) -> &'static str {
    match version {
        Version::V1 => "RTDETRTransformer",
        Version::V2 => "RTDETRTransformerv2",
    }
}

/// A section of the merged files; one that is nowhere takes all defaults.
fn open<'a>(tree: &'a Map, name: &'static str, whole: &Place, nothing: &'a Map) -> Result<Section<'a>, ConfigError> {
    let Some(entry) = tree.get(name) else { return Ok(Section::new(name, whole.clone(), nothing)) };
    match &entry.node.value {
        Value::Map(map) => Ok(Section::new(name, entry.key.clone(), map)),
        other => Err(entry.key.fault(format!("{name}: {other} is not a section; it needs keys and values under it"))),
    }
}

/// The section that gives a shared argument: the class's own, else the file. Null is no value.
pub(super) fn holder<'s, 'a>(section: &'s Section<'a>, top: &'s Section<'a>, key: &'static str) -> &'s Section<'a> {
    if section.some(key).is_none() && top.some(key).is_some() { top } else { section }
}

/// The value of a shared argument.
pub(super) fn shared<'a, T>(
    section: &Section<'a>,
    top: &Section<'a>,
    key: &'static str,
    read: impl Fn(&Section<'a>, &'static str) -> Result<Option<T>, ConfigError>,
) -> Result<Option<T>, ConfigError> {
    let holder = holder(section, top, key);
    if holder.some(key).is_some() { read(holder, key) } else { Ok(None) }
}

/// The head has no layers: it picks one of the decoder's outputs, of which inference has one.
fn head_section(head: &Section<'_>) -> Result<(), ConfigError> {
    head.ignore(&["loss"]);
    match head.i64("eval_idx")? {
        None | Some(-1 | 0) => head.finish(),
        Some(other) => {
            Err(head.fault("eval_idx", format_args!("{other} is not the one output that there is at inference")))
        }
    }
}

fn encoder(section: &Section<'_>, top: &Section<'_>, tree: &Map) -> Result<(Encoder, Option<[usize; 2]>), ConfigError> {
    // The backbone gives in_channels and feat_strides, whatever is written here.
    section.ignore(&["in_channels", "feat_strides", "trt"]);
    let hidden_dim = section.usize("hidden_dim")?.unwrap_or(256);
    let act = shared(section, top, "act", |section, key| activation(section, key).map(Some))?;
    holder(section, top, "act").only("act", act, "silu", "silu")?;
    let layer = layer_arguments(section, tree)?;
    let layer = Section::new("HybridEncoder.encoder_layer", layer.0, &layer.1);
    layer.ignore(&["name", "dropout", "attn_dropout", "act_dropout"]);
    layer.only("normalize_before", layer.bool("normalize_before")?, false, false)?;
    let required = |key: &'static str| {
        layer.usize(key)?.ok_or_else(|| layer.place.fault(format!("{}: {key} is not given", layer.name)))
    };
    let (width, heads) = (required("d_model")?, required("nhead")?);
    if width != hidden_dim {
        let (one, other) = (layer.place_of("d_model"), section.place_of("hidden_dim"));
        // The line to change is more likely in the user's own file than in a base.
        let place = if one.file == top.place.file { one } else { other };
        return Err(place.fault(format!(
            "HybridEncoder: hidden_dim {hidden_dim} and encoder_layer.d_model {width} contradict each other"
        )));
    }
    let encoder = Encoder {
        hidden_dim,
        layers: section.usize("num_encoder_layers")?.unwrap_or(1),
        heads,
        dim_feedforward: layer.usize("dim_feedforward")?.unwrap_or(1024),
        use_encoder_idx: section.usizes("use_encoder_idx")?.unwrap_or_else(|| vec![2]),
        expansion: section.f64("expansion")?.unwrap_or(1.0),
        depth_mult: shared(section, top, "depth_mult", Section::f64)?.unwrap_or(1.0),
        pe_temperature: section.f64("pe_temperature")?.unwrap_or(10_000.0),
        activation: layer.feed_forward("activation", FeedForward::Relu)?,
    };
    layer.finish()?;
    let size = shared(section, top, "eval_size", Section::size)?;
    section.finish()?;
    Ok((encoder, size))
}

/// A convolution's activation: a name, or a mapping with a name. Paddle has SiLU under two names.
fn activation<'a>(section: &Section<'a>, key: &'static str) -> Result<&'a str, ConfigError> {
    let name = match section.get(key).map(|node| &node.value) {
        Some(Value::Map(options)) if options.len() == 1 => options.get("name").map(|entry| &entry.node.value),
        value => value,
    };
    match name {
        Some(Value::Text(name)) if name == "swish" => Ok("silu"),
        Some(Value::Text(name)) => Ok(name),
        _ => Err(section.fault(key, "it is not the name of an activation")),
    }
}

/// Arguments of the encoder's layer: those of the top-level `TransformerLayer` section, overridden by those of
/// `encoder_layer`, and where they stand.
fn layer_arguments(section: &Section<'_>, tree: &Map) -> Result<(Place, Map), ConfigError> {
    const LAYER: &str = "TransformerLayer";
    let mut arguments = match tree.get(LAYER) {
        None => Map::new(),
        Some(entry) => entry.node.clone().into_map(LAYER)?,
    };
    let refuse = |name: &Value| section.fault("encoder_layer", format_args!("{name} is not built; {LAYER} is"));
    let Some(node) = section.get("encoder_layer") else { return Ok((section.place.clone(), arguments)) };
    match &node.value {
        Value::Text(name) if name == LAYER => {}
        Value::Map(own) => {
            match own.get("name").map(|entry| &entry.node.value) {
                Some(Value::Text(name)) if name == LAYER => {}
                Some(other) => return Err(refuse(other)),
                None => return Err(section.fault("encoder_layer", format_args!("name is not given; {LAYER} is built"))),
            }
            arguments.extend(own.iter().map(|(key, entry)| (key.clone(), entry.clone())));
        }
        other => return Err(refuse(other)),
    }
    Ok((section.place_of("encoder_layer"), arguments))
}

fn decoder(section: &Section<'_>, top: &Section<'_>, version: Version) -> Result<Decoder, ConfigError> {
    // The encoder gives backbone_feat_channels, whatever is written here; the rest is for training.
    section.ignore(&["backbone_feat_channels", "dropout", "num_denoising", "label_noise_ratio", "box_noise_scale"]);
    // PaddleDetection checks this name and builds nothing from it.
    if let Some(other) = section.text("position_embed_type")?.filter(|name| !["sine", "learned"].contains(name)) {
        return Err(section.fault("position_embed_type", format_args!("{other} is neither sine nor learned")));
    }
    section.only("query_pos_head_inv_sig", section.bool("query_pos_head_inv_sig")?, false, false)?;
    section.only("eps", section.f64("eps")?, 0.01, 0.01)?;
    let levels = section.usize("num_levels")?.unwrap_or(3);
    let sampling = match version {
        Version::V1 => Sampling::Default,
        Version::V2 => match section.text("cross_attn_sampling_method")? {
            None | Some("default") => Sampling::Default,
            Some("discrete") => Sampling::Discrete,
            Some(other) => {
                let fault = format_args!("{other} is neither default nor discrete");
                return Err(section.fault("cross_attn_sampling_method", fault));
            }
        },
    };
    let points = match section.get("num_decoder_points").map(|node| &node.value) {
        Some(Value::List(_)) if version == Version::V2 => section.usizes("num_decoder_points")?.unwrap_or_default(),
        // A level count that no network has is refused afterwards; until then it must not ask for memory.
        _ => vec![section.usize("num_decoder_points")?.unwrap_or(4); levels.min(64)],
    };
    Ok(Decoder {
        hidden_dim: shared(section, top, "hidden_dim", Section::usize)?.unwrap_or(256),
        queries: section.usize("num_queries")?.unwrap_or(300),
        layers: section.usize("num_decoder_layers")?.unwrap_or(6),
        eval_idx: section.i64("eval_idx")?.unwrap_or(-1),
        heads: section.usize("nhead")?.unwrap_or(8),
        dim_feedforward: section.usize("dim_feedforward")?.unwrap_or(1024),
        levels,
        points,
        sampling,
        offset_scale: 0.5,
        learn_query_content: section.bool("learnt_init_query")?.unwrap_or(true),
        activation: section.feed_forward("activation", FeedForward::Relu)?,
    })
}

/// Where a key of [`Config`] comes from: sections and keys to look in, in that order. `{backbone}` and `{transformer}`
/// stand for the sections that are used.
const ORIGINS: &[(&str, &[&str])] = &[
    ("classes", &["{transformer}.num_classes", "num_classes"]),
    ("backbone.depth", &["ResNet.depth"]),
    ("backbone.return_idx", &["{backbone}.return_idx"]),
    ("encoder.hidden_dim", &["HybridEncoder.hidden_dim"]),
    ("encoder.layers", &["HybridEncoder.num_encoder_layers"]),
    ("encoder.heads", &["HybridEncoder.encoder_layer.nhead", "TransformerLayer.nhead"]),
    ("encoder.dim_feedforward", &["HybridEncoder.encoder_layer.dim_feedforward", "TransformerLayer.dim_feedforward"]),
    ("encoder.use_encoder_idx", &["HybridEncoder.use_encoder_idx"]),
    ("encoder.expansion", &["HybridEncoder.expansion"]),
    ("encoder.depth_mult", &["HybridEncoder.depth_mult", "depth_mult"]),
    ("encoder.pe_temperature", &["HybridEncoder.pe_temperature"]),
    ("decoder.hidden_dim", &["{transformer}.hidden_dim", "hidden_dim"]),
    ("decoder.heads", &["{transformer}.nhead"]),
    ("decoder.dim_feedforward", &["{transformer}.dim_feedforward"]),
    ("decoder.queries", &["{transformer}.num_queries"]),
    ("decoder.layers", &["{transformer}.num_decoder_layers"]),
    ("decoder.eval_idx", &["{transformer}.eval_idx", "{transformer}.num_decoder_layers"]),
    ("decoder.levels", &["{transformer}.num_levels", "{backbone}.return_idx"]),
    ("decoder.points", &["{transformer}.num_decoder_points"]),
    ("preprocess", &["{transformer}.eval_size", "HybridEncoder.eval_size", "eval_size"]),
];

/// An error of [`Config::check`] in the words of the user's file, at its line if the key is written there.
pub(super) fn locate(error: ConfigError, config: &Config, tree: &Map) -> ConfigError {
    let (key, fault) = match &error {
        ConfigError::Value { key, fault, .. } => (*key, fault.clone()),
        ConfigError::Input { .. } => ("preprocess", error.to_string()),
        _ => return error,
    };
    let backbone = match config.backbone {
        crate::Backbone::ResnetVd { .. } => "ResNet",
        crate::Backbone::HgNetV2 { .. } => "PPHGNetV2",
    };
    let origins = ORIGINS.iter().find(|(ours, _)| *ours == key).map_or(&[][..], |(_, origins)| origins);
    for origin in origins {
        let origin = origin.replace("{backbone}", backbone).replace("{transformer}", transformer(config.version));
        if let Some(place) = find(tree, &origin.split('.').collect::<Vec<_>>()) {
            return place.fault(format!("{origin}: {fault}"));
        }
    }
    error
}

/// The place of a key under sections.
fn find(tree: &Map, path: &[&str]) -> Option<Place> {
    let (last, sections) = path.split_last()?;
    let mut map = tree;
    for section in sections {
        let Some(Node { value: Value::Map(inner), .. }) = map.get(*section).map(|entry| &entry.node) else {
            return None;
        };
        map = inner;
    }
    map.get(*last).map(|entry| entry.key.clone())
}
