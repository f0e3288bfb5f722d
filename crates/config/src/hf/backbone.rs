//! `backbone_config`: the ResNet-vd of `rt_detr_resnet`, or `hgnet_v2`. A backbone here is one of the published sizes,
//! so its lists must be those of one.

use super::{GENERIC, leftover};
use crate::node::Value;
use crate::section::Section;
use crate::{Backbone, ConfigError, HgNetArch};

/// The backbone of the configuration, ResNet-50 if there is none.
pub(super) fn read(top: &Section<'_>, warnings: &mut Vec<String>) -> Result<Backbone, ConfigError> {
    let freeze_norm = top.bool("freeze_backbone_batch_norms")?.unwrap_or(true);
    let named = top.some("backbone");
    let Some(node) = top.some("backbone_config") else {
        return match named {
            Some(name) => {
                let fault =
                    format_args!("{} is a backbone by name, which is not built; backbone_config is read", name.value);
                Err(top.fault("backbone", fault))
            }
            None => Ok(Backbone::ResnetVd { depth: 50, freeze_norm, return_idx: vec![1, 2, 3] }),
        };
    };
    let Value::Map(map) = &node.value else {
        return Err(top.fault("backbone_config", format_args!("{} is not a mapping", node.value)));
    };
    let section = Section::new("backbone_config", top.place_of("backbone_config"), map);
    section.ignore(GENERIC);
    section.ignore(&["id2label", "num_labels", "stage_names"]);
    section.only("num_channels", section.usize("num_channels")?, 3, 3)?;
    section.only("hidden_act", section.text("hidden_act")?, "relu", "relu")?;
    let return_idx = stages(&section)?;
    let backbone = match section.text("model_type")? {
        Some("rt_detr_resnet") => Backbone::ResnetVd { depth: resnet(&section)?, freeze_norm, return_idx },
        Some("hgnet_v2") => Backbone::HgNetV2 { arch: hgnet(&section, &return_idx)?, freeze_norm, return_idx },
        Some(other) => {
            let fault = format_args!("{other} is not built; rt_detr_resnet and hgnet_v2 are");
            return Err(section.fault("model_type", fault));
        }
        None => {
            return Err(section
                .place
                .fault("backbone_config: model_type is not given; it is rt_detr_resnet or hgnet_v2"));
        }
    };
    leftover(&section, warnings)?;
    Ok(backbone)
}

/// Stages whose output is a feature level. transformers counts the stem as 0 and gives the last stage only if nothing
/// is said.
fn stages(section: &Section<'_>) -> Result<Vec<usize>, ConfigError> {
    const NAMES: [&str; 5] = ["stem", "stage1", "stage2", "stage3", "stage4"];
    let list = |key: &'static str| match section.some(key).map(|node| &node.value) {
        None => Ok(None),
        Some(Value::List(items)) => Ok(Some(items)),
        Some(other) => Err(section.fault(key, format_args!("{other} is not a list of stages"))),
    };
    let stage = |key: &str, value: &Value| {
        let index = match value {
            Value::Text(name) => NAMES.iter().position(|known| known == name),
            Value::Int(index) if *index < 0 => usize::try_from(*index + NAMES.len() as i128).ok(),
            Value::Int(index) => usize::try_from(*index).ok(),
            _ => None,
        };
        match index {
            Some(index) if (1..NAMES.len()).contains(&index) => Ok(index - 1),
            _ => Err(section.fault(key, format_args!("{value} is not one of the stages 1 to 4"))),
        }
    };
    let read = |key: &'static str| {
        let items = list(key)?;
        items.map(|items| items.iter().map(|item| stage(key, &item.value)).collect::<Result<Vec<_>, _>>()).transpose()
    };
    match (read("out_features")?, read("out_indices")?) {
        (Some(features), Some(indices)) if features != indices => {
            Err(section.fault("out_indices", "they are not the stages of out_features"))
        }
        (Some(stages), _) | (None, Some(stages)) => Ok(stages),
        (None, None) => Ok(vec![3]),
    }
}

fn resnet(section: &Section<'_>) -> Result<usize, ConfigError> {
    section.only("embedding_size", section.usize("embedding_size")?, 64, 64)?;
    section.only("downsample_in_first_stage", section.bool("downsample_in_first_stage")?, false, false)?;
    section.only("downsample_in_bottleneck", section.bool("downsample_in_bottleneck")?, false, false)?;
    let depths = section.usizes("depths")?.unwrap_or_else(|| vec![3, 4, 6, 3]);
    let kind = section.text("layer_type")?.unwrap_or("bottleneck");
    let depth = match (kind, &depths[..]) {
        ("basic", [2, 2, 2, 2]) => 18,
        ("basic", [3, 4, 6, 3]) => 34,
        ("bottleneck", [3, 4, 6, 3]) => 50,
        ("bottleneck", [3, 4, 23, 3]) => 101,
        _ => {
            let fault = format_args!(
                "{depths:?} of layer_type {kind} is not built; [2, 2, 2, 2] and [3, 4, 6, 3] of basic, [3, 4, 6, 3] and \
                 [3, 4, 23, 3] of bottleneck are"
            );
            return Err(section.fault("depths", fault));
        }
    };
    let widths = [64, 128, 256, 512].map(|width| if depth >= 50 { 4 * width } else { width });
    let hidden_sizes = section.usizes("hidden_sizes")?.unwrap_or_else(|| vec![256, 512, 1024, 2048]);
    if hidden_sizes != widths {
        let fault = format_args!("{hidden_sizes:?} is not built for ResNet-{depth}; {widths:?} is");
        return Err(section.fault("hidden_sizes", fault));
    }
    Ok(depth)
}

fn hgnet(section: &Section<'_>, return_idx: &[usize]) -> Result<HgNetArch, ConfigError> {
    // Keys of PaddleDetection that some files carry along; embedding_size and depths are declared and never used.
    section.ignore(&["arch", "return_idx", "freeze_at", "freeze_norm", "freeze_stem_only", "lr_mult_list"]);
    section.ignore(&["embedding_size", "depths", "initializer_range"]);
    section.only("use_learnable_affine_block", section.bool("use_learnable_affine_block")?, false, false)?;
    let list = |key: &'static str, default: &[usize]| {
        Ok::<_, ConfigError>(section.usizes(key)?.unwrap_or_else(|| default.to_vec()))
    };
    let flags = |key: &'static str, default: [bool; 4]| match section.get(key).map(|node| &node.value) {
        None => Ok(default.to_vec()),
        Some(Value::List(items)) => items
            .iter()
            .map(|item| match item.value {
                Value::Bool(flag) => Ok(flag),
                _ => Err(section.fault(key, format_args!("{} is not true or false", item.value))),
            })
            .collect(),
        Some(other) => Err(section.fault(key, format_args!("{other} is not a list of true and false"))),
    };
    let default = HgNetArch::L.stages();
    let stem = list("stem_channels", &[3, 32, 48])?;
    let stem_strides = list("stem_strides", &[2, 1, 1, 2, 1])?;
    let strides = list("stage_downsample_strides", &[2; 4])?;
    let input = list("stage_in_channels", &default.map(|stage| stage.input))?;
    let middle = list("stage_mid_channels", &default.map(|stage| stage.middle))?;
    let output = list("stage_out_channels", &default.map(|stage| stage.output))?;
    let blocks = list("stage_num_blocks", &default.map(|stage| stage.blocks))?;
    let kernels = list("stage_kernel_size", &default.map(|stage| stage.kernel))?;
    let layers = list("stage_numb_of_layers", &default.map(|stage| stage.layers))?;
    let downsample = flags("stage_downsample", default.map(|stage| stage.downsample))?;
    let light = flags("stage_light_block", default.map(|stage| stage.light))?;
    let found = [HgNetArch::L, HgNetArch::X, HgNetArch::H].into_iter().find(|arch| {
        let stages = arch.stages();
        let (stem_middle, stem_output) = arch.stem();
        stem == [3, stem_middle, stem_output]
            && input == stages.map(|stage| stage.input)
            && middle == stages.map(|stage| stage.middle)
            && output == stages.map(|stage| stage.output)
            && blocks == stages.map(|stage| stage.blocks)
            && kernels == stages.map(|stage| stage.kernel)
            && layers == stages.map(|stage| stage.layers)
            && downsample == stages.map(|stage| stage.downsample)
            && light == stages.map(|stage| stage.light)
    });
    let usual = stem_strides == [2, 1, 1, 2, 1] && strides == [2; 4];
    let Some(arch) = found.filter(|_| usual) else {
        let fault = "stem_* and stage_* are those of no published HGNetv2; L, X and H are built";
        return Err(section.place.fault(format!("{}: {fault}", section.name)));
    };
    // transformers takes the levels' channels from here, not from the stages.
    let hidden_sizes = list("hidden_sizes", &[256, 512, 1024, 2048])?;
    for &stage in return_idx {
        let built = arch.stages().get(stage).map(|stage| stage.output);
        if hidden_sizes.get(stage).copied() != built {
            let fault = format_args!("{hidden_sizes:?} contradicts stage_out_channels {output:?}");
            return Err(section.fault("hidden_sizes", fault));
        }
    }
    Ok(arch)
}
