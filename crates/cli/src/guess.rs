//! Which model a checkpoint is of, as its tensors say.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use detrace_config::{Config, Needed, Version, zoo};
use detrace_rtdetr::RtDetr;
use detrace_weights::{DENOISING, Scheme, Weights};

/// What could be found out.
pub(crate) struct Guess {
    /// Models of the zoo, with the checkpoint's number of classes. If they fit, all of them do; else it is the nearest.
    pub(crate) models: Vec<Config>,
    /// Whether every tensor has its place in them and every place its tensor.
    pub(crate) fits: bool,
}

impl Guess {
    /// The models' names.
    pub(crate) fn names(&self) -> String {
        self.models.iter().map(|config| config.name.as_str()).collect::<Vec<_>>().join(OR)
    }
}

/// Between names of models that a checkpoint cannot tell apart, also in the metadata.
const OR: &str = " or ";

/// Looks for the models of the zoo that these tensors are of.
pub(crate) fn guess(weights: &Weights) -> Result<Guess> {
    let mut scored = Vec::new();
    for name in zoo::names() {
        let mut config = zoo::get(name).context("a model of the zoo")??;
        config.classes = weights.classes().unwrap_or(config.classes);
        let misfits = misfits(weights, &RtDetr::needed(&config)?);
        scored.push((config, misfits));
    }
    let fitting: Vec<Config> =
        scored.iter().filter(|(_, misfits)| *misfits == 0).map(|(config, _)| config.clone()).collect();
    if fitting.is_empty() {
        let nearest = scored.into_iter().min_by_key(|(_, misfits)| *misfits);
        return Ok(Guess { models: nearest.map(|(config, _)| config).into_iter().collect(), fits: false });
    }
    Ok(Guess { models: narrowed(weights, fitting), fits: true })
}

/// How many places of a model lack their tensor, and how many tensors have no place in it.
fn misfits(weights: &Weights, needed: &[Needed]) -> usize {
    let fits = |needed: &Needed| match weights.shape(&needed.name) {
        Some(shape) => shape == needed.shape.as_slice(),
        None => needed.idle,
    };
    let lacking = needed.iter().filter(|needed| !fits(needed)).count();
    let names: BTreeSet<&str> = needed.iter().map(|needed| needed.name.as_str()).collect();
    let strangers = weights.names().filter(|name| *name != DENOISING && !names.contains(name)).count();
    lacking + strangers
}

/// Of models with the same tensors, those that the metadata or the names allow.
fn narrowed(weights: &Weights, models: Vec<Config>) -> Vec<Config> {
    let said = weights.checkpoint().metadata().get("model").map_or("", String::as_str);
    let version = version(weights);
    let filters: [&dyn Fn(&Config) -> bool; 2] =
        [&|config| said.split(OR).any(|name| name == config.name), &|config| {
            version.is_none_or(|version| version == config.version)
        }];
    filters.iter().fold(models, |models, keep| {
        let kept: Vec<Config> = models.iter().filter(|config| keep(config)).cloned().collect();
        if kept.is_empty() { models } else { kept }
    })
}

/// RT-DETRv2 keeps a constant of its sampling points in its checkpoints, in every framework. Without it a checkpoint is
/// of the first version, unless it has the names of v2's code and somebody left the constant out.
fn version(weights: &Weights) -> Option<Version> {
    let has_points =
        weights.checkpoint().names().any(|name| name.ends_with("n_points_scale") || name.ends_with("num_points_scale"));
    match weights.scheme() {
        _ if has_points => Some(Version::V2),
        Scheme::Canonical => None,
        Scheme::TorchV1 | Scheme::Paddle | Scheme::HuggingFace => Some(Version::V1),
    }
}
