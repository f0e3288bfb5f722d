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
        let score = score(weights, &RtDetr::needed(&config)?);
        scored.push((config, score));
    }
    let fitting: Vec<Config> =
        scored.iter().filter(|(_, score)| score.fits).map(|(config, _)| config.clone()).collect();
    if fitting.is_empty() {
        let nearest = scored.into_iter().max_by_key(|(_, score)| score.hits);
        return Ok(Guess { models: nearest.map(|(config, _)| config).into_iter().collect(), fits: false });
    }
    Ok(Guess { models: narrowed(weights, fitting), fits: true })
}

struct Score {
    fits: bool,
    hits: usize,
}

fn score(weights: &Weights, needed: &[Needed]) -> Score {
    let hit = |needed: &&Needed| weights.shape(&needed.name) == Some(needed.shape.as_slice());
    let hits = needed.iter().filter(hit).count();
    let lacking = needed.iter().filter(|needed| !needed.idle || weights.contains(&needed.name)).count() - hits;
    let names: BTreeSet<&str> = needed.iter().map(|needed| needed.name.as_str()).collect();
    let strangers = weights.names().filter(|name| *name != DENOISING && !names.contains(name)).count();
    Score { fits: lacking == 0 && strangers == 0, hits: hits.saturating_sub(strangers) }
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
