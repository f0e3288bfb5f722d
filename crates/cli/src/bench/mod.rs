//! `detrace bench`: how long a network takes, by a fixed protocol. `docs/bench.md` describes it.

mod layers;
mod machine;
mod summary;
mod threads;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use clap::ValueEnum;
use detrace_config::Config;
use detrace_nn::Recorder;
use detrace_report::{Bench, by_x};
use detrace_rtdetr::RtDetr;
use detrace_weights::{Seeded, seeded_image};
use indicatif::{ProgressBar, ProgressStyle};

use crate::network::NetworkArgs;
use crate::trace::{check, parse_shape};
use crate::{VERSIONS, emit, warn, watched, writable};
use layers::Layers;

/// Seed of the image, and of the weights where no checkpoint is given.
const SEED: u64 = 0;

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// The checkpoint: .safetensors, .pth (official code) or .pdparams (Paddle) [default: weights from a seed]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Forward passes between the first and the timed ones
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup: usize,
    /// Timed forward passes
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
    /// Number type; this build has f32 only
    #[arg(long, default_value = "f32")]
    dtype: String,
    /// Also time every layer
    #[arg(long)]
    detail: bool,
    /// How to show the times
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Write to a file instead of standard output, whole or not at all
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
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
    if args.dtype != "f32" {
        bail!("--dtype {}: this build computes in f32; take --dtype f32", args.dtype);
    }
    if let Some(path) = &args.output {
        writable(path)?;
    }
    let started = Instant::now();
    let config = args.network.config()?;
    let input = args.shape(&config)?;
    check(&config, &input)?;
    if cfg!(debug_assertions) {
        warn("this is a debug build; its times say little, `cargo build --release` makes the one to time");
    }
    let network = args.load(&config, &device)?;
    let load = started.elapsed().as_secs_f64();
    let rss_load = machine::resident();
    let image = seeded_image(&input, SEED, &device)?;
    let Times { first, times, layers } = args.time(&network, &image)?;
    let forward = summary::summary(&times)?;
    let bench = Bench {
        schema: detrace_flops::SCHEMA,
        model: config.name.clone(),
        structure: network.structure().name(),
        weights: args.weights.as_ref().map(|path| path.display().to_string()),
        seed: SEED,
        batch: input[0],
        input: input.to_vec(),
        device: "cpu".to_owned(),
        dtype: args.dtype.clone(),
        threads,
        warmup: args.warmup,
        iters: times.len(),
        load,
        first,
        images_per_second: input[0] as f64 / forward.median,
        layers: layers.map(|layers| layers.medians(forward.median)).transpose()?,
        times,
        forward,
        rss_load,
        rss_peak: machine::peak_resident(),
        machine: machine::machine(),
        versions: VERSIONS,
    };
    let text = match args.format {
        Format::Table => bench.to_string(),
        Format::Json => serde_json::to_string_pretty(&bench)? + "\n",
    };
    emit(&text, args.output.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// Forward passes' times in seconds.
struct Times {
    first: f64,
    times: Vec<f64>,
    layers: Option<Layers>,
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
                Ok(RtDetr::new(config, self.network.structure.into(), vb)?)
            }
        }
    }

    /// The first forward pass, those that warm up, those that are timed. With `--detail` a recorder listens to the timed.
    fn time(&self, network: &RtDetr, image: &Tensor) -> Result<Times> {
        let iters = usize::try_from(self.iters)?;
        let bar = bar(1 + self.warmup + iters);
        let run = || -> Result<f64> {
            let start = Instant::now();
            network.forward(image)?;
            let seconds = start.elapsed().as_secs_f64();
            bar.inc(1);
            Ok(seconds)
        };
        bar.set_message("first");
        let first = run()?;
        bar.set_message("warming up");
        for _ in 0..self.warmup {
            run()?;
        }
        bar.set_message("timing");
        let mut layers = self.detail.then(Layers::default);
        let mut times = Vec::with_capacity(iters);
        let recorder = Recorder::new();
        for _ in 0..iters {
            times.push(match &mut layers {
                None => run()?,
                Some(layers) => {
                    let seconds = recorder.record(run)?;
                    layers.add(&recorder.take());
                    seconds
                }
            });
        }
        bar.finish_and_clear();
        Ok(Times { first, times, layers })
    }
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
