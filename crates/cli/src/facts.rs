//! The facts that `conventions` and `params` are about: a model on paper, or a saved trace.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use detrace_config::Config;
use detrace_flops::{Framework, Trace};
use detrace_graph::{import, plan};

use crate::args::Structure;
use crate::trace::{DEFAULT_INPUT, parse_shape};
use crate::{open, read_trace};

/// Which model, and as whose.
#[derive(Debug, clap::Args)]
pub(crate) struct FactsArgs {
    /// A model of the zoo (see `detrace models`), a YAML file, a PaddleDetection yml, or a Hugging Face config.json; nothing
    /// runs
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    model: Option<String>,
    /// A saved trace instead of a model
    #[arg(long, value_name = "TRACE.json")]
    from: Option<PathBuf>,
    /// Shape of the input, NxCxHxW; height and width are multiples of 32 [default: 1x3x640x640]
    #[arg(long, value_name = "NxCxHxW", conflicts_with = "from")]
    input: Option<String>,
    /// How the network is built: as trained, or with norms folded and branches merged [default: train]
    #[arg(long, value_enum, conflicts_with = "from")]
    structure: Option<Structure>,
    #[command(flatten)]
    framework: FrameworkArg,
}

/// Whose modules tools for PyTorch look at.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct FrameworkArg {
    /// Whose modules tools for PyTorch look at: official (lyuwenyu/RT-DETR) or hf (transformers) [default: hf for a model
    /// made from a Hugging Face config.json, else official]
    #[arg(long, value_name = "official|hf")]
    framework: Option<Framework>,
}

impl FrameworkArg {
    /// The one asked for, or the trace's own.
    pub(crate) fn of(self, trace: &Trace) -> Framework {
        self.framework.or_else(|| trace.meta.framework.parse().ok()).unwrap_or_default()
    }
}

/// What was asked for.
pub(crate) struct Facts {
    pub(crate) trace: Trace,
    pub(crate) framework: Framework,
    /// The configuration, where it is known.
    pub(crate) config: Option<Config>,
}

impl FactsArgs {
    pub(crate) fn facts(&self) -> Result<Facts> {
        let (trace, config) = match &self.from {
            Some(path) => {
                let trace = read_trace(path)?;
                let config = detrace_config::zoo::get(&trace.meta.model).and_then(Result::ok);
                (trace, config)
            }
            None => {
                let model = self.model.as_deref().context("a model is needed")?;
                if import::is_graph(Path::new(model)) {
                    bail!(
                        "{model} is a graph file, which is neither the official code nor transformers; `detrace flops {model} --convention NAME` counts it"
                    );
                }
                let (trace, config) = on_paper(model, self.input.as_deref(), self.structure)?;
                (trace, Some(config))
            }
        };
        Ok(Facts { framework: self.framework.of(&trace), trace, config })
    }
}

/// A model's plan for the options of a command, and its configuration.
pub(crate) fn on_paper(model: &str, input: Option<&str>, structure: Option<Structure>) -> Result<(Trace, Config)> {
    let loaded = open(model)?;
    let input = input.map_or(Ok(DEFAULT_INPUT), parse_shape)?;
    let mut trace = plan(&loaded.config, structure.unwrap_or_default().into(), input)?;
    trace.meta.framework = loaded.framework().to_owned();
    Ok((trace, loaded.config))
}
