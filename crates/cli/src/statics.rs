use std::process::ExitCode;

use anyhow::Result;

use crate::args::Structure;
use crate::facts::on_paper;
use crate::graph;
use crate::show::ShowArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct StaticArgs {
    /// A model of the zoo (see `detrace models`), a YAML file, a PaddleDetection yml, or a Hugging Face config.json; or a
    /// graph file: ONNX (.onnx) or a Paddle program (.pdmodel, Paddle 3's .json)
    #[arg(value_name = "MODEL|GRAPH")]
    pub(crate) model: String,
    /// Shape of the input, NxCxHxW; height and width are multiples of 32 [default: 1x3x640x640, and of a graph file what it
    /// fixes]
    #[arg(long, value_name = "NxCxHxW")]
    pub(crate) input: Option<String>,
    /// How the network is built: as trained, or with norms folded and branches merged [default: train]
    #[arg(long, value_enum)]
    pub(crate) structure: Option<Structure>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// `detrace static`.
pub(crate) fn run(args: &StaticArgs) -> Result<ExitCode> {
    let show = args.show.check()?;
    let unfit: &[&str] = if args.structure.is_some() { &["--structure"] } else { &[] };
    if let Some(trace) = graph::open(&args.model, args.input.as_deref(), &args.show, unfit)? {
        return show.show(&trace, None);
    }
    let (trace, config) = on_paper(&args.model, args.input.as_deref(), args.structure)?;
    show.show(&trace, Some(&config))
}
