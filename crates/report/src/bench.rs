use std::fmt::{self, Display, Formatter};

use detrace_flops::{Kind, Shape};
use serde::Serialize;

use crate::table::table;
use crate::{Agreement, Versions, by_x};

/// What a benchmark measured. Times are in seconds, memory is in MiB. Its JSON is `detrace bench --format json`, its
/// [`Display`] the table.
#[derive(Clone, Debug, Serialize)]
pub struct Bench {
    /// [`detrace_flops::SCHEMA`].
    pub schema: u32,
    /// The model's name.
    pub model: String,
    /// `train` or `deploy`.
    pub structure: &'static str,
    /// The checkpoint; none if the weights were made from a seed.
    pub weights: Option<String>,
    /// Seed of the image, and of the weights where there is no checkpoint.
    pub seed: u64,
    /// Shape of the image batch: N, C, H, W.
    pub input: Shape,
    /// N of `input`.
    pub batch: usize,
    /// Where it ran.
    pub device: String,
    /// Number type it ran in.
    pub dtype: &'static str,
    /// Whether factors of f32 products were rounded to TF32.
    pub tf32: bool,
    /// Threads of every pool.
    pub threads: usize,
    /// Forward passes between the first and the timed ones.
    pub warmup: usize,
    /// Timed forward passes.
    pub iters: usize,
    /// From the name of the model to the network, ready to run.
    pub load: f64,
    /// The first forward pass.
    pub first: f64,
    /// The timed forward passes, in order.
    pub times: Vec<f64>,
    /// Pre-processing: from decoded images to the image batch.
    pub pre: Summary,
    /// The forward passes, `times`.
    pub forward: Summary,
    /// Post-processing: from logits and boxes to detections.
    pub post: Summary,
    /// All three.
    pub total: Summary,
    /// Images a second at the median of `total`.
    pub images_per_second: f64,
    /// Width and height of the images before pre-processing.
    pub photo: [u32; 2],
    /// Resident memory when the network was ready; none where the system does not tell.
    pub rss_load: Option<f64>,
    /// Largest resident memory of the process; none where the system does not tell.
    pub rss_peak: Option<f64>,
    /// Large blocks that stay between passes, which are the packed weights; none where nobody counts them.
    pub memory_weights: Option<f64>,
    /// What a pass needs besides at most: maps and what is made on the way.
    pub memory_maps: Option<f64>,
    /// The most memory that tensors had on the GPU; none on the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_peak: Option<f64>,
    /// How far it is from f32, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Agreement>,
    /// How layers were timed, as in traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<&'static str>,
    /// The operations of the forward passes together, if layers were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Operations>,
    /// Times of the layers, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Layer>>,
    /// What it ran on.
    pub machine: Machine,
    /// Versions of the programs.
    pub versions: Versions,
}

/// Times of one stage in seconds. Quantiles lie between neighbouring times, linearly (NumPy's default).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The shortest.
    pub min: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The median.
    pub median: f64,
    /// Nine of ten are shorter.
    pub p90: f64,
    /// 99 of 100 are shorter.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// The forward pass as operations and what lies between them. Both times are means over the timed passes, in seconds,
/// so they add up to the mean forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Operations {
    /// In operations.
    pub time: f64,
    /// In none: reshapes, copies, bookkeeping and recording.
    pub between: f64,
    /// `between` over the forward pass.
    pub between_share: f64,
}

/// One module, or one operation of a block, with all its calls in a forward pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// Dotted name; [`Layer::GLUE`] for what is in no operation.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Calls in a forward pass.
    pub calls: u64,
    /// Shape of the first input of the last call.
    pub input: Shape,
    /// Shape of the output of the last call.
    pub output: Shape,
    /// Median over the timed forward passes of the time of all calls, in seconds.
    pub time: f64,
    /// `time` over the median forward pass.
    pub share: f64,
}

impl Layer {
    /// Path of the row for the time in no operation: reshapes, copies, bookkeeping, recording.
    pub const GLUE: &str = "#glue";
}

/// What a benchmark ran on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the CPU.
    pub cpu: String,
    /// Physical cores, where the system tells.
    pub cores: Option<usize>,
    /// Logical cores that the process may use.
    pub logical_cores: usize,
    /// Instruction sets that matter to arithmetic.
    pub features: Vec<&'static str>,
    /// Memory in MiB, where the system tells.
    pub memory: Option<u64>,
    /// Operating system and its version.
    pub os: String,
    /// Instruction set architecture.
    pub arch: &'static str,
    /// `release` or `debug`.
    pub build: &'static str,
}

impl Bench {
    /// A Markdown table whose one row is the forward pass: milliseconds of the median, images a second, memory.
    pub fn markdown_row(&self) -> String {
        let Bench { model, device, dtype, batch, versions, .. } = self;
        let (median, peak) = (self.forward.median, self.device_peak.or(self.rss_peak));
        let peak = peak.map_or(String::new(), |peak| format!("{peak:.0}"));
        let rate = *batch as f64 / median;
        format!(
            "| engine | model | device | number type | batch | ms | images/s | peak MiB |\n\
             |---|---|---|---|--:|--:|--:|--:|\n\
             | detrace {} | {model} | {device} | {dtype} | {batch} | {} | {rate:.1} | {peak} |\n",
            versions.detrace,
            ms(median)
        )
    }
}

impl Display for Bench {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Bench { model, structure, device, dtype, threads, machine, .. } = self;
        let weights = match &self.weights {
            Some(path) => format!("weights {path}"),
            None => format!("seeded weights (seed {}), no trained ones", self.seed),
        };
        let tf32 = if self.tf32 { " (TF32)" } else { "" };
        writeln!(out, "{model} ({structure}), input {}, {device} {dtype}{tf32}, {threads} threads", by_x(&self.input))?;
        writeln!(out, "{weights}")?;
        writeln!(out, "{machine}")?;
        writeln!(out, "detrace {}, candle {}, {} build", self.versions.detrace, self.versions.candle, machine.build)?;
        if let Some(layers) = &self.layers {
            write!(out, "{}", table_of(layers))?;
        }
        if let Some(Operations { time, between, between_share }) = self.operations {
            let (time, forward, share) = (ms(time), ms(time + between), 100.0 * between_share);
            let timing = self.timing.unwrap_or_default();
            writeln!(
                out,
                "operations {time} ms of {forward} ms, {share:.1}% between (means of the timed forward passes); times: {timing}"
            )?;
        }
        let mut times = table(&["ms", "min", "mean", "median", "p90", "p99", "max", "images/s"], 1);
        let stages = [
            ("pre-processing", self.pre),
            ("forward", self.forward),
            ("post-processing", self.post),
            ("all", self.total),
        ];
        for (name, Summary { min, mean, median, p90, p99, max }) in stages {
            let mut row = vec![name.to_owned()];
            row.extend([min, mean, median, p90, p99, max].map(ms));
            row.push(format!("{:.2}", self.batch as f64 / median));
            times.add_row(row);
        }
        let [width, height] = self.photo;
        writeln!(out, "{times}\npre-processing takes images of {width}x{height} pixels, decoded")?;
        let (load, first) = (ms(self.load), ms(self.first));
        let (warmup, iters) = (self.warmup, self.iters);
        writeln!(out, "load {load} ms, first forward {first} ms; {warmup} to warm up, {iters} timed")?;
        let mib = |size: Option<f64>| size.map_or("unknown".to_owned(), |size| format!("{size:.0} MiB"));
        writeln!(out, "memory: {} with the network loaded, {} at the peak", mib(self.rss_load), mib(self.rss_peak))?;
        if let (Some(weights), Some(maps)) = (self.memory_weights, self.memory_maps) {
            writeln!(out, "of it weights as they were packed {weights:.0} MiB, maps of a pass {maps:.0} MiB")?;
        }
        if let Some(peak) = self.device_peak {
            writeln!(out, "memory of the GPU: tensors had {peak:.0} MiB at the peak")?;
        }
        self.check.as_ref().map_or(Ok(()), |check| writeln!(out, "against f32: {check}"))
    }
}

impl Display for Machine {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Machine { cpu, logical_cores, features, os, arch, .. } = self;
        write!(out, "{cpu} ({arch}), ")?;
        if let Some(cores) = self.cores {
            write!(out, "{cores} cores, ")?;
        }
        write!(out, "{logical_cores} logical, ")?;
        if let Some(memory) = self.memory {
            write!(out, "{memory} MiB, ")?;
        }
        write!(out, "{os}; {}", if features.is_empty() { "no known features".to_owned() } else { features.join(" ") })
    }
}

fn ms(seconds: f64) -> String {
    format!("{:.2}", 1e3 * seconds)
}

fn table_of(layers: &[Layer]) -> String {
    let mut rows = table(&["layer", "kind", "calls", "input", "output", "ms", "time"], 2);
    for row in layers {
        rows.add_row([
            row.path.clone(),
            row.kind.to_string(),
            row.calls.to_string(),
            by_x(&row.input),
            by_x(&row.output),
            ms(row.time),
            format!("{:.1}%", 100.0 * row.share),
        ]);
    }
    format!("{rows}\n")
}
