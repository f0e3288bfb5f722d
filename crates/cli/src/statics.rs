use std::process::ExitCode;

use anyhow::Result;
use detrace_graph::plan;

use crate::args::Structure;
use crate::load;
use crate::show::ShowArgs;
use crate::trace::{DEFAULT_INPUT, parse_shape};

#[derive(Debug, clap::Args)]
pub(crate) struct StaticArgs {
    /// A model of the zoo (see `detrace models`), a YAML file, a PaddleDetection yml, or a Hugging Face config.json
    pub(crate) model: String,
    /// Shape of the input, NxCxHxW; height and width are multiples of 32 [default: 1x3x640x640]
    #[arg(long, value_name = "NxCxHxW")]
    pub(crate) input: Option<String>,
    /// How the network is built: as trained, or with norms folded and branches merged
    #[arg(long, value_enum, default_value = "train")]
    pub(crate) structure: Structure,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// `detrace static`.
pub(crate) fn run(args: &StaticArgs) -> Result<ExitCode> {
    let show = args.show.check()?;
    let config = load(&args.model)?;
    let input = args.input.as_deref().map_or(Ok(DEFAULT_INPUT), parse_shape)?;
    show.show(&plan(&config, args.structure.into(), input)?, Some(&config))
}
