//! PaddleDetection's RT-DETR configurations: a yml with its `_BASE_` chain.
//!
//! A section is a class and its keys are the constructor's arguments, so an absent key takes the constructor's default
//! (`ppdet/modeling`), which is not always what the published files write: `ResNet.variant` is `b`,
//! `learnt_init_query` is true, `TransformerLayer.activation` is `relu`. An argument that the class declares as shared
//! falls back on the top-level key of that name before its default: `num_classes`, `hidden_dim` and `eval_size` of the
//! decoder, `eval_size`, `depth_mult` and `act` of the encoder, `norm_type` of ResNet. The encoder's own `hidden_dim`
//! is not shared, so a top-level `hidden_dim` widens the decoder only.
//!
//! ## Missing bases
//! Users copy the model's files and leave the dataset's and the optimizer's behind. A base that does not exist is
//! tolerated, with a warning, if the files that do exist describe a whole network: `architecture`, `DETR` with its
//! parts, and a section for each part. Otherwise it is an error. A base that exists but cannot be read is always one.

mod backbone;
mod chain;
mod network;
mod preprocess;

use std::path::Path;
use std::rc::Rc;

use self::chain::Chain;
use self::network::Parts;
pub(crate) use self::network::SECTIONS;
use crate::node::{Map, Place};
use crate::{Config, ConfigError, Resize, Version};

/// Top-level keys that the network's classes share.
const SHARED: &[&str] = &["architecture", "num_classes", "hidden_dim", "eval_size", "depth_mult", "act", "norm_type"];

/// Reads the configuration whose file `path` holds `top`.
pub(crate) fn read(
    name: String,
    path: &Path,
    file: &Rc<str>,
    top: Map,
    warnings: &mut Vec<String>,
) -> Result<Config, ConfigError> {
    let chain = Chain::read(path, file, top, warnings)?;
    let tree = &chain.tree;
    let whole = Place { file: file.clone(), line: 1 };
    let bases = chain.missing.iter().map(|(_, base)| base.as_str()).collect::<Vec<_>>().join(", ");
    if let Some((place, _)) = chain.missing.first()
        && let Some(lacking) = network::lacking(tree)
    {
        network::check_backbone(tree)?;
        return Err(place.fault(format!("_BASE_: there is no file {bases}, and the others do not give {lacking}")));
    }
    let parts = Parts::read(tree, &whole)?;
    if !bases.is_empty() {
        warnings.push(format!("{file}: there is no file {bases}; every part of the network is described without"));
        if parts.classes_by_default {
            warnings.push(format!("{file}: nothing gives num_classes; {} are taken", parts.config.classes));
        }
    }
    stray_sections(tree, file, &parts.sections, warnings);
    let mut config = parts.config.clone();
    config.name = name;
    // What the published readers say, for a yml without one.
    config.preprocess.resize = match config.version {
        Version::V1 => Resize::OpencvBicubic,
        Version::V2 => Resize::OpencvBilinear,
    };
    config.preprocess.size = parts.eval_size.unwrap_or(config.preprocess.size);
    config.check().map_err(|error| network::locate(error, &config, tree))?;
    parts.check_strides(&config, tree)?;
    preprocess::read(tree, parts.eval_size.is_some(), &mut config, warnings);
    Ok(config)
}

/// Warns about sections of the user's own file that PaddleDetection would take without a word and never use.
fn stray_sections(tree: &Map, file: &Rc<str>, used: &[&str], warnings: &mut Vec<String>) {
    let own = tree.iter().filter(|(_, entry)| entry.key.file == *file).take(1000);
    for (key, entry) in own {
        let key = key.as_str();
        let place = &entry.key;
        if used.contains(&key) || SHARED.contains(&key) {
            continue;
        }
        if SECTIONS.contains(&key) {
            warnings.push(format!("{place}: {key} is not a part of this network, which has {}", used.join(", ")));
        } else if key.chars().count() >= 5
            && let Some(near) = crate::nearest::nearest(key, used.iter().chain(SHARED).copied(), 2)
        {
            warnings.push(format!("{place}: {key} is not read; did you mean {near}?"));
        }
    }
}
