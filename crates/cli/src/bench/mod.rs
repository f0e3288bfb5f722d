//! `detrace bench`: how long a network takes, by a fixed protocol. `docs/bench.md` describes it.

pub(crate) mod gpu_memory;
mod layers;
pub(crate) mod machine;
mod passes;
mod summary;
mod threads;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use candle_core::Device;
use clap::ValueEnum;
use detrace_config::Config;
use detrace_kernels::{forget_most_in_use, in_use, most_in_use};
use detrace_report::{Bench, by_x};
use detrace_rtdetr::RtDetr;
use detrace_weights::Seeded;
use indicatif::{ProgressBar, ProgressStyle};

use crate::device::{TimingChoice, name};
use crate::network::{NetworkArgs, SEED, keep_maps_of};
use crate::trace::{check, parse_shape};
use crate::{VERSIONS, emit, warn, watched, writable};
use layers::Layers;
use passes::{PHOTO, Passes, Pipeline};
use summary::summary;

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// The checkpoint: .safetensors, .pth (official code) or .pdparams (Paddle) [default: weights from a seed]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Passes between the first and the timed ones
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup: usize,
    /// Timed passes
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    iters: u32,
    /// Threads of every pool [default: RAYON_NUM_THREADS, or physical cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=threads::MOST))]
    threads: Option<u16>,
    /// Images in the batch [default: 1]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Shape of the input, NxCxHxW; height and width are multiples of 32 [default: the size the model was trained for]
    #[arg(long, value_name = "NxCxHxW")]
    input: Option<String>,
    /// Also time every layer
    #[arg(long)]
    detail: bool,
    /// How layers are timed on a GPU [default: sync]; on the CPU sync and launch are the same
    #[arg(long, value_enum, requires = "detail")]
    timing: Option<TimingChoice>,
    /// How to show the times
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Write to a file instead of standard output, whole or not at all
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also write a Markdown table of one row to a file
    #[arg(long, value_name = "FILE")]
    row: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// `detrace bench`.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let threads = threads::limit(args.threads.map(usize::from))?;
    let device = args.network.device()?;
    let timing = TimingChoice::on(args.timing, &device)?;
    for path in [&args.output, &args.row].into_iter().flatten() {
        writable(path)?;
    }
    let started = Instant::now();
    let config = args.network.config()?;
    let input = args.shape(&config)?;
    check(&config, &input, &device)?;
    if cfg!(debug_assertions) {
        warn("this is a debug build; its times say little, `cargo build --release` makes the one to time");
    }
    keep_maps_of(input);
    let network = args.load(&config, &device)?;
    let load = started.elapsed().as_secs_f64();
    let rss_load = machine::resident();
    let pipeline = Pipeline::new(&network, input, &device, timing);
    let Passes { first, pre, forward: times, post, layers, weights, maps } = args.time(&pipeline)?;
    let forward = summary(&times)?;
    let total = pre.iter().zip(&times).zip(&post).map(|((pre, forward), post)| pre + forward + post);
    let total = summary(&total.collect::<Vec<f64>>())?;
    let (rss_peak, precision) = (machine::peak_resident(), args.network.precision);
    let check = args
        .network
        .exact(&config, args.weights.as_deref(), &device)?
        .map(|exact| precision.compare(&network, &exact, &pipeline.input()?))
        .transpose()?;
    let bench = Bench {
        schema: detrace_flops::SCHEMA,
        model: config.name.clone(),
        structure: network.structure().name(),
        weights: args.weights.as_ref().map(|path| path.display().to_string()),
        seed: SEED,
        batch: input[0],
        input: input.to_vec(),
        device: name(&device),
        dtype: precision.dtype.name(),
        tf32: precision.tf32,
        threads,
        warmup: args.warmup,
        iters: times.len(),
        load,
        first,
        images_per_second: input[0] as f64 / total.median,
        timing: args.detail.then(|| timing.name()),
        operations: layers.as_ref().map(Layers::operations).transpose()?,
        layers: layers.map(|layers| layers.medians(forward.median)).transpose()?,
        times,
        pre: summary(&pre)?,
        forward,
        post: summary(&post)?,
        total,
        photo: PHOTO,
        rss_load,
        rss_peak,
        memory_weights: mib(weights),
        memory_maps: mib(maps),
        device_peak: gpu_memory::peak(&device),
        check,
        machine: machine::machine(),
        versions: VERSIONS,
    };
    if let Some(row) = &args.row {
        emit(&bench.markdown_row(), Some(row))?;
    }
    let text = match args.format {
        Format::Table => bench.to_string(),
        Format::Json => serde_json::to_string_pretty(&bench)? + "\n",
    };
    emit(&text, args.output.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

impl BenchArgs {
    /// The shape that the options give or leave open.
    fn shape(&self, config: &Config) -> Result<[usize; 4]> {
        let [height, width] = config.preprocess.size;
        match (&self.input, self.batch) {
            (None, batch) => Ok([batch.unwrap_or(1), 3, height, width]),
            (Some(input), None) => parse_shape(input),
            (Some(input), Some(batch)) => {
                let shape = parse_shape(input)?;
                if shape[0] != batch {
                    bail!("--batch {batch} contradicts --input {}; leave --batch out", by_x(&shape));
                }
                Ok(shape)
            }
        }
    }

    fn load(&self, config: &Config, device: &Device) -> Result<RtDetr> {
        match &self.weights {
            Some(weights) => self.network.load(config, weights, device),
            None => {
                let vb = Seeded::var_builder(SEED, device, |_| {});
                self.network.build(config, vb)
            }
        }
    }

    /// The first pass, those that warm up, those that are timed.
    fn time(&self, pipeline: &Pipeline) -> Result<Passes> {
        let iters = usize::try_from(self.iters)?;
        let bar = bar(1 + self.warmup + iters);
        bar.set_message("first");
        let first = pipeline.pass(None)?.forward;
        let weights = in_use();
        forget_most_in_use();
        bar.inc(1);
        bar.set_message("warming up");
        for _ in 0..self.warmup {
            pipeline.pass(None)?;
            bar.inc(1);
        }
        bar.set_message("timing");
        let mut passes = Passes { weights, ..Passes::new(first, self.detail) };
        for _ in 0..iters {
            let pass = pipeline.pass(passes.layers.as_mut())?;
            passes.add(pass);
            bar.inc(1);
        }
        bar.finish_and_clear();
        passes.maps = most_in_use().saturating_sub(weights);
        Ok(passes)
    }
}

/// In MiB, if there is any.
fn mib(bytes: usize) -> Option<f64> {
    (bytes > 0).then(|| bytes as f64 / f64::from(1 << 20))
}

/// A bar that is drawn between forward passes only, where a person watches.
pub(crate) fn bar(length: usize) -> ProgressBar {
    if !watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)") {
        bar.set_style(style);
    }
    bar
}
