use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::bench::BenchArgs;
use crate::compare::CompareArgs;
use crate::conventions::ConventionsArgs;
use crate::convert::ConvertArgs;
use crate::detect::DetectArgs;
use crate::device::{CHOICES, Choice, TimingChoice};
use crate::doctor::DoctorArgs;
use crate::params::ParamsArgs;
use crate::run::RunArgs;
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
    /// Run a model on a random image and count what its layers did; or count a graph file
    #[command(after_help = "Examples:
  detrace flops rtdetr_r50vd
  detrace flops rtdetr_r50vd --format paddle
  detrace flops rtdetr_r18vd --input 1x3x480x640 --convention full --format json --output r18.json
  detrace flops rtdetr_r18vd --trace-out r18.trace.json
  detrace flops --from r18.trace.json --convention paddle --detail
  detrace flops rtdetr_r18vd --convention paddle --custom-op 'layer_norm=5*out'
  detrace flops rtdetr_r18vd --blob photo.jpg --format tree
  detrace flops rtdetr_r50vd --device auto
  detrace flops model.onnx --detail
  detrace flops model.pdmodel --convention paddle-static --detail
  detrace flops inference.json --input 8x3x640x640")]
    Flops(Box<FlopsArgs>),
    /// Convert a checkpoint of Paddle, the official code or transformers to safetensors, strictly checked
    #[command(after_help = "Examples:
  detrace convert rtdetr_r50vd_6x_coco.pdparams r50.safetensors
  detrace convert checkpoint0071.pth r50.safetensors --to hf
  detrace convert best.pth mine.safetensors --model mine.yaml

The metadata of OUT say what it was made from: format, names, SHA-256, model.")]
    Convert(ConvertArgs),
    /// Find objects in images: boxes, classes and scores, shown and drawn
    #[command(after_help = "Examples:
  detrace detect rtdetr_r50vd --weights r50.pdparams photo.jpg
  detrace detect rtdetr_r50vd --weights r50.safetensors photos/ --draw drawn/ --batch 4
  detrace detect PP-DocLayout_plus-L/ page.png --threshold 0.3 --format json --output page.json
  detrace detect rtdetr_r50vd --weights r50.pth val2017/ --threshold 0 --format coco --output results.json

MODEL can also be a folder that holds a configuration and a checkpoint, as the Hugging Face hub has them. A
preprocessor_config.json beside config.json is obeyed. Images are turned as their EXIF says and stretched to the model's size;
boxes are in pixels of the upright image and not clipped to it.

An image that cannot be read is reported and does not stop the others; the results of those are written, those that failed are
listed in the JSON, and the exit code is 2.

With --format coco an image_id is the file's name without its ending, as a number if it is one. A category_id is COCO's (1 to 90)
if the classes are COCO's, else the class's number, from 0.")]
    Detect(Box<DetectArgs>),
    /// Run a model on a tensor and write what it gives, to be compared with another framework
    #[command(after_help = "Examples:
  detrace run rtdetr_r50vd --weights r50.pdparams --input image.safetensors --output out.safetensors
  detrace run config.json --weights model.safetensors --input image.safetensors --output out.safetensors --stages

With --stages the output also holds backbone.0 … and encoder.0 … [N, C, H, W], finest first; memory [N, L, C], the tokens
of all levels; scores [N, L], each token's highest class logit; topk [N, queries] (I64), the selected tokens, best first;
content [N, queries, C]; reference [N, queries, 4], boxes before the sigmoid.")]
    Run(RunArgs),
    /// Count a model on paper: nothing runs, no weights are made
    #[command(after_help = "Examples:
  detrace static rtdetr_r50vd
  detrace static rtdetrv2_r18vd --input 8x3x1280x1280 --structure deploy --detail
  detrace static rtdetr_hgnetv2_l --convention paddle --format json
  detrace static model.pdmodel --detail")]
    Static(Box<StaticArgs>),
    /// Time a model: latency, images a second, memory, and every layer with --detail
    #[command(after_help = "Examples:
  detrace bench rtdetr_r50vd --weights r50.safetensors
  detrace bench rtdetr_r18vd --threads 1 --iters 50 --format json --output r18.json
  detrace bench rtdetr_hgnetv2_l --batch 4 --detail
  detrace bench rtdetr_r18vd --structure train --input 1x3x480x640

The first pass is reported apart, --warmup more are not, --iters are: pre-processing (images are decoded already), the
forward pass and post-processing, each by itself. docs/bench.md has the whole protocol.")]
    Bench(Box<BenchArgs>),
    /// Say what this build can run on here: CPU, kernels, GPU, driver, libraries; and check that it computes right
    #[command(after_help = "Examples:
  detrace doctor
  detrace doctor --format json
  detrace doctor --device cuda --models all
  detrace doctor --models rtdetr_r18vd --input 1x3x320x320

--models forces each device to the CPU's choice of queries. Right is, in f32, 2e-3 for logits and 2e-4 of the image for boxes; in
f16, 98 of the 100 surest detections. scripts/gpu-check.sh runs this and the benchmarks of a GPU.

Exit code 1 means that a device computed something wrong.")]
    Doctor(DoctorArgs),
    /// Compare what ran with a plan, a graph file or a saved trace, operation by operation
    #[command(after_help = "Examples:
  detrace compare rtdetr_r50vd
  detrace compare rtdetr_r50vd --against model.onnx
  detrace compare rtdetr_r18vd --structure deploy --input 1x3x480x640 --format markdown
  detrace compare --from r18.trace.json
  detrace compare rtdetr_r18vd --against r18.deploy.trace.json
  detrace compare --from old.trace.json --against new.trace.json --fail-over 0.5%

Exit code 1 means that the sides differ by more than --fail-over. Norms, biases, activations, elementwise steps, shape
arithmetic, post-processing and heads that the model does not run, which one exporter folds, splits or adds and another does
not, are listed by name and do not count. RepVGG branches are work: without --structure the network is built as the graph was.")]
    Compare(Box<CompareArgs>),
    /// One model under every convention, and what makes each total differ from full's
    #[command(after_help = "Examples:
  detrace conventions rtdetr_r50vd
  detrace conventions rtdetrv2_r18vd --framework hf --format markdown
  detrace conventions rtdetr_hgnetv2_l --structure deploy --input 2x3x480x640
  detrace conventions --from r18.trace.json --format json --output r18.conventions.json

Nothing runs. The terms of a row add up to its difference, exactly. Tools that print MACs are compared with full's MACs,
tools that print FLOPs with its FLOPs.")]
    Conventions(ConventionsArgs),
    /// All parameters of a model by what they are for, and every tool's number of them
    #[command(after_help = "Examples:
  detrace params rtdetr_r50vd
  detrace params rtdetr_r18vd --structure deploy --framework hf
  detrace params config.json --format json
  detrace params --from r18.trace.json --format csv --output r18.csv

Nothing runs. The terms of a row add up to its difference to all learned weights and biases, exactly.")]
    Params(ParamsArgs),
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
    /// A model of the zoo (see `detrace models`), a YAML file, a PaddleDetection yml, or a Hugging Face config.json; or a
    /// graph file that is counted without running: ONNX (.onnx) or a Paddle program (.pdmodel, Paddle 3's .json)
    #[arg(value_name = "MODEL|GRAPH", required_unless_present = "from", conflicts_with = "from")]
    pub(crate) model: Option<String>,
    /// Shape of the input, NxCxHxW; height and width are multiples of 32 [default: 1x3x640x640, and of a graph file what it
    /// fixes]
    #[arg(long, value_name = "NxCxHxW", conflicts_with = "from")]
    pub(crate) input: Option<String>,
    /// Seed of weights and input; counts do not depend on it [default: 0]
    #[arg(long, conflicts_with = "from")]
    pub(crate) seed: Option<u64>,
    /// How the network is built: as trained, or with norms folded and branches merged [default: train]
    #[arg(long, value_enum, conflicts_with = "from")]
    pub(crate) structure: Option<Structure>,
    /// Run on a real input: an image (stretched to the model's size), .npy or .safetensors
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub(crate) blob: Option<PathBuf>,
    /// Where it runs: the CPU, a GPU, or `auto`, a GPU if one can be used [default: cpu]
    #[arg(long, value_name = CHOICES, conflicts_with = "from")]
    pub(crate) device: Option<Choice>,
    /// How operations are timed on a GPU [default: sync]; on the CPU sync and launch are the same.
    #[arg(long, value_enum, conflicts_with = "from")]
    pub(crate) timing: Option<TimingChoice>,
    /// Count a saved trace; no model is needed
    #[arg(long, value_name = "TRACE.json", conflicts_with = "trace_out")]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Structure {
    #[default]
    /// As trained: convolution, norm and activation apart.
    Train,
    /// Norms folded, branches merged, activations fused.
    Deploy,
    /// As deploy, without work that the results do not need.
    Fast,
}

impl From<Structure> for detrace_flops::Structure {
    fn from(structure: Structure) -> detrace_flops::Structure {
        match structure {
            Structure::Train => detrace_flops::Structure::Train,
            Structure::Deploy => detrace_flops::Structure::Deploy,
            Structure::Fast => detrace_flops::Structure::Fast,
        }
    }
}
