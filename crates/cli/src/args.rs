use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::show::ShowArgs;
use crate::statics::StaticArgs;

#[derive(Debug, Parser)]
#[command(
    name = "detrace",
    version = crate::version(),
    about = "Runs RT-DETR and counts what every layer did: MACs, FLOPs, parameters, time",
    after_help = "Exit codes: 0 done, 1 a check failed, 2 bad usage or bad input."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the known models with their published figures
    Models(ModelsArgs),
    /// Run a model on a random image and count what its layers did
    #[command(after_help = "Examples:
  detrace flops rtdetr_r50vd
  detrace flops rtdetr_r50vd --format paddle
  detrace flops rtdetr_r18vd --input 1x3x480x640 --convention full --format json --output r18.json
  detrace flops rtdetr_r18vd --trace-out r18.trace.json
  detrace flops --from r18.trace.json --convention paddle --detail
  detrace flops rtdetr_r18vd --convention paddle --custom-op 'layer_norm=5*out'
  detrace flops rtdetr_r18vd --blob photo.jpg --format tree")]
    Flops(Box<FlopsArgs>),
    /// Count a model on paper: nothing runs, no weights are made
    #[command(after_help = "Examples:
  detrace static rtdetr_r50vd
  detrace static rtdetrv2_r18vd --input 8x3x1280x1280 --structure deploy --detail
  detrace static rtdetr_hgnetv2_l --convention paddle --format json")]
    Static(Box<StaticArgs>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ModelsArgs {
    /// How to show them
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: ModelsFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelsFormat {
    Table,
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FlopsArgs {
    /// A model of the zoo (see `detrace models`), a YAML file, a PaddleDetection yml, or a Hugging Face config.json
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    pub(crate) model: Option<String>,
    /// Shape of the input, NxCxHxW; height and width are multiples of 32 [default: 1x3x640x640]
    #[arg(long, value_name = "NxCxHxW", conflicts_with = "from")]
    pub(crate) input: Option<String>,
    /// Seed of weights and input; counts do not depend on it
    #[arg(long, default_value_t = 0, conflicts_with = "from")]
    pub(crate) seed: u64,
    /// How the network is built: as trained, or with norms folded and branches merged
    #[arg(long, value_enum, default_value = "train", conflicts_with = "from")]
    pub(crate) structure: Structure,
    /// Run on a real input: an image (stretched to the model's size), .npy or .safetensors
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub(crate) blob: Option<PathBuf>,
    /// Count a saved trace; no model is needed
    #[arg(long, value_name = "TRACE.json", conflicts_with = "trace_out")]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Structure {
    Train,
    Deploy,
}

impl From<Structure> for detrace_flops::Structure {
    fn from(structure: Structure) -> detrace_flops::Structure {
        match structure {
            Structure::Train => detrace_flops::Structure::Train,
            Structure::Deploy => detrace_flops::Structure::Deploy,
        }
    }
}
