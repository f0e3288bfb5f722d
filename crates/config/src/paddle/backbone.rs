//! The backbones' sections.

use super::network::{holder, shared};
use crate::node::Value;
use crate::section::Section;
use crate::{Backbone, ConfigError, HgNetArch};

/// `ResNet`. Its constructor also builds ResNeXt, deformable convolutions, squeeze-and-excitation and three other stems.
pub(super) fn resnet(section: &Section<'_>, top: &Section<'_>) -> Result<Backbone, ConfigError> {
    section.ignore(&["lr_mult_list", "norm_decay", "freeze_at", "freeze_stem_only"]);
    section.only("variant", section.text("variant")?, "b", "d")?;
    section.only("ch_in", section.usize("ch_in")?, 64, 64)?;
    section.only("groups", section.usize("groups")?, 1, 1)?;
    section.only("base_width", section.usize("base_width")?, 64, 64)?;
    section.only("std_senet", section.bool("std_senet")?, false, false)?;
    section.only("num_stages", section.usize("num_stages")?, 4, 4)?;
    if let Some(other) =
        shared(section, top, "norm_type", Section::text)?.filter(|norm| !["bn", "sync_bn"].contains(norm))
    {
        return Err(holder(section, top, "norm_type")
            .fault("norm_type", format_args!("{other} is not built; bn and sync_bn are")));
    }
    // Stage -1 is none.
    let none = |value: &Value| matches!(value, Value::Int(stage) if *stage < 0);
    if let Some(node) = section.get("dcn_v2_stages") {
        let absent = match &node.value {
            Value::List(stages) => stages.iter().all(|stage| none(&stage.value)),
            value => none(value),
        };
        if !absent {
            let fault = format_args!("{}: deformable convolutions are not built", node.value);
            return Err(section.fault("dcn_v2_stages", fault));
        }
    }
    let return_idx = match section.get("return_idx").map(|node| &node.value) {
        Some(Value::Int(_)) => section.usize("return_idx")?.map(|stage| vec![stage]),
        _ => section.usizes("return_idx")?,
    };
    Ok(Backbone::ResnetVd {
        depth: section.usize("depth")?.unwrap_or(50),
        freeze_norm: section.bool("freeze_norm")?.unwrap_or(true),
        return_idx: return_idx.unwrap_or_else(|| vec![0, 1, 2, 3]),
    })
}

/// `PPHGNetV2`.
pub(super) fn hgnet(section: &Section<'_>) -> Result<Backbone, ConfigError> {
    section.ignore(&["lr_mult_list", "freeze_at", "freeze_stem_only"]);
    section.only("use_lab", section.bool("use_lab")?, false, false)?;
    let arch = match section.text("arch")? {
        Some("L") => HgNetArch::L,
        Some("X") => HgNetArch::X,
        Some("H") => HgNetArch::H,
        Some(other) => return Err(section.fault("arch", format_args!("{other} is not built; L, X and H are"))),
        None => return Err(section.place.fault(format!("{}: arch is not given; it is L, X or H", section.name))),
    };
    Ok(Backbone::HgNetV2 {
        arch,
        freeze_norm: section.bool("freeze_norm")?.unwrap_or(true),
        return_idx: section.usizes("return_idx")?.unwrap_or_else(|| vec![1, 2, 3]),
    })
}
