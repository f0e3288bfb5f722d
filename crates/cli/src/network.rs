//! A network made from a checkpoint, and the options that say which.

use std::path::Path;

use anyhow::{Result, anyhow};
use candle_core::Device;
use candle_nn::VarBuilder;
use detrace_config::{Config, Loaded, Needed};
use detrace_detect::ModelFiles;
use detrace_kernels::keep_at_most;
use detrace_rtdetr::RtDetr;
use detrace_weights::{Checkpoint, Report, Seeded, Weights, WeightsError};

use crate::args::Structure;
use crate::device::{CHOICES, Choice};
use crate::precision::PrecisionArgs;
use crate::{files, load, report, warn};

/// Seed of weights where no checkpoint is given.
pub(crate) const SEED: u64 = 0;

/// Which network, and how it is built.
#[derive(Debug, clap::Args)]
pub(crate) struct NetworkArgs {
    /// A model of the zoo (see `detrace models`), a YAML file, a PaddleDetection yml, or a Hugging Face config.json
    pub(crate) model: String,
    /// Number of classes, where a fine-tuned checkpoint has another than the model
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,
    /// Load a checkpoint that does not fit; what it does not give is random
    #[arg(long)]
    pub(crate) allow_partial: bool,
    /// How the network is built: as trained, or with norms folded and branches merged
    #[arg(long, value_enum, default_value = "fast")]
    pub(crate) structure: Structure,
    /// Where it runs: the CPU, a GPU, or `auto`, a GPU if one can be used
    #[arg(long, value_name = CHOICES, default_value = "cpu")]
    pub(crate) device: Choice,
    #[command(flatten)]
    pub(crate) precision: PrecisionArgs,
}

/// Keeps as much freed memory as maps of such a batch need, N × C × H × W, for passes that follow on each other.
pub(crate) fn keep_maps_of([batch, _, height, width]: [usize; 4]) {
    // R50's at 640×640.
    const MAPS: usize = 96 << 20;
    let images = (batch * height * width).div_ceil(640 * 640).max(1);
    keep_at_most(MAPS.saturating_mul(images));
}

impl NetworkArgs {
    /// The configuration, with its reader's warnings shown.
    pub(crate) fn config(&self) -> Result<Config> {
        self.with_classes(load(&self.model)?)
    }

    /// The configuration with the preprocessing beside it, and the checkpoint if the model is a folder.
    pub(crate) fn files(&self) -> Result<ModelFiles> {
        let files = files(&self.model)?;
        Ok(ModelFiles { loaded: Loaded { config: self.with_classes(files.loaded.config)?, ..files.loaded }, ..files })
    }

    fn with_classes(&self, mut config: Config) -> Result<Config> {
        if let Some(classes) = self.classes
            && classes != config.classes
        {
            config.classes = classes;
            config.labels.clear();
            config.check()?;
        }
        Ok(config)
    }

    /// The device, ready to compute as the options say.
    pub(crate) fn device(&self) -> Result<Device> {
        let device = self.device.open()?;
        self.precision.settle(&device)?;
        Ok(device)
    }

    /// The network from a checkpoint. What the checkpoint gave is reported on standard error.
    pub(crate) fn load(&self, config: &Config, weights: &Path, device: &Device) -> Result<RtDetr> {
        let cure = |classes: usize| format!("or give --classes {classes}");
        let weights = strict(Checkpoint::open(weights)?, &RtDetr::needed(config)?, self.allow_partial, cure)?;
        report(weights.report().to_string().trim_end());
        left_random(weights.report());
        self.build(config, weights.var_builder(device))
    }

    /// The network in the number type that the options say.
    pub(crate) fn build(&self, config: &Config, vb: VarBuilder) -> Result<RtDetr> {
        Ok(RtDetr::new(config, self.structure.into(), vb.to_dtype(self.precision.dtype.into()))?)
    }

    /// The same network in f32, if it is to be compared with; without a checkpoint from the seed.
    pub(crate) fn exact(&self, config: &Config, weights: Option<&Path>, device: &Device) -> Result<Option<RtDetr>> {
        if !self.precision.checks() {
            return Ok(None);
        }
        let vb = match weights {
            Some(path) => Weights::load(Checkpoint::open(path)?, &RtDetr::needed(config)?, self.allow_partial)?
                .var_builder(device),
            None => Seeded::var_builder(SEED, device, |_| {}),
        };
        Ok(Some(RtDetr::new(config, self.structure.into(), vb)?))
    }
}

/// A checkpoint's weights, if they are all that is needed; else what does not fit is reported and the load refused.
/// `cure` says what to do about another number of classes.
pub(crate) fn strict(
    checkpoint: Checkpoint,
    needed: &[Needed],
    allow_partial: bool,
    cure: impl Fn(usize) -> String,
) -> Result<Weights> {
    Weights::load(checkpoint, needed, allow_partial).map_err(|error| {
        let WeightsError::Refused { path, report: fit } = error else { return error.into() };
        report(fit.to_string().trim_end());
        let cure = fit.classes.map(|classes| format!("; {}", cure(classes.found))).unwrap_or_default();
        anyhow!("{}: {}{cure}. --allow-partial takes what fits", path.display(), fit.verdict())
    })
}

/// Says what a partial load leaves random.
fn left_random(report: &Report) {
    let names: Vec<&str> = report.left_random().collect();
    if !names.is_empty() {
        warn(&format!(
            "{} tensors are random, as the checkpoint does not give them: {}",
            names.len(),
            names.join(", ")
        ));
    }
}
