//! `detrace compare`: one trace against another, operation by operation.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use detrace_config::Config;
use detrace_flops::{Diff, Reason, Trace, conventions, diff};
use detrace_graph::{import, plan};
use detrace_report::{by_x, diff_json, diff_markdown, diff_table};

use crate::args::Structure;
use crate::device::{CHOICES, Choice};
use crate::show::convention;
use crate::trace::{DEFAULT_INPUT, Input, parse_shape, trace};
use crate::{VERSIONS, emit, load, read_trace, report, warn, writable};

#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// The left side, which runs: a model of the zoo (see `detrace models`), a YAML file, a PaddleDetection yml, or a
    /// Hugging Face config.json
    #[arg(required_unless_present = "from")]
    model: Option<String>,
    /// The right side: `plan` (the network on paper), a graph file (.onnx, .pdmodel, Paddle PIR .json) or
    /// a saved trace
    #[arg(long, value_name = "plan|GRAPH|TRACE.json", default_value = "plan")]
    against: String,
    /// A saved trace as the left side; nothing runs. A model beside it is planned with `--against plan`
    #[arg(long, value_name = "TRACE.json", conflicts_with_all = ["structure", "input", "seed", "device"])]
    from: Option<PathBuf>,
    /// Shape of the input, NxCxHxW; height and width are multiples of 32 [default: the right side's, or 1x3x640x640]
    #[arg(long, value_name = "NxCxHxW")]
    input: Option<String>,
    /// How the left side's network is built: as trained, or with norms folded and branches merged [default: as a graph
    /// file on the right, else train]
    #[arg(long, value_enum)]
    structure: Option<Structure>,
    /// Seed of weights and input; counts do not depend on it
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the left side runs: the CPU, a GPU, or `auto`, a GPU if one can be used
    #[arg(long, value_name = CHOICES, default_value = "cpu")]
    device: Choice,
    /// Whose rules count the totals and rows; the threshold is always in MACs
    #[arg(long, value_name = "NAME", default_value = "full")]
    convention: String,
    /// Exit with 1 if the unexplained differences in MACs of conv2d, linear, matmul and grid_sample are over this share of
    /// the left side's
    #[arg(long, value_name = "P%", default_value = "0%", value_parser = percent)]
    fail_over: f64,
    /// How to show the comparison
    #[arg(long, value_enum, default_value = "table")]
    format: CompareFormat,
    /// Write to a file instead of standard output, whole or not at all
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CompareFormat {
    Table,
    Json,
    Markdown,
}

/// Reads `0.5%` or `0.5`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "a share is a percentage from 0% to 100%, for instance 0.5%".to_owned())
}

/// `detrace compare`.
pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode> {
    let convention = convention(&args.convention)?;
    if convention.of_programs {
        bail!(
            "`{}` counts a program's operations one by one, which a network does not have; compare with full",
            convention.name
        );
    }
    if let Some(path) = &args.output {
        writable(path)?;
    }
    let config = args.model.as_deref().map(load).transpose()?;
    let shape = args.input.as_deref().map(parse_shape).transpose()?;
    let saved = args.from.as_deref().map(read_trace).transpose()?;
    // What is read can be wrong, so it is read before anything runs.
    let there = match args.against.as_str() {
        "plan" => None,
        file => {
            let of_saved = saved.as_ref().and_then(|trace| trace.meta.input.as_slice().try_into().ok());
            Some(right(Path::new(file), shape.or(of_saved))?)
        }
    };
    let here = match (saved, &config) {
        (Some(trace), _) => trace,
        (None, Some(config)) => {
            let other = there.as_ref().and_then(|trace| trace.meta.input.as_slice().try_into().ok());
            let input = Input::Random(shape.or(other).unwrap_or(DEFAULT_INPUT));
            let graph = there.as_ref().filter(|_| import::is_graph(Path::new(&args.against)));
            let structure = match (args.structure, graph) {
                (Some(structure), _) => structure.into(),
                (None, Some(graph)) => structure_like(config, graph)?,
                (None, None) => detrace_flops::Structure::default(),
            };
            trace(config, input, args.seed, structure, (args.device, None))?
        }
        (None, None) => bail!("a model is needed"),
    };
    let there = match there {
        Some(trace) => trace,
        None => planned(&here, config)?,
    };
    if here.meta.input != there.meta.input {
        let (left, right) = (by_x(&here.meta.input), by_x(&there.meta.input));
        warn(&format!("the left side's input is {left}, the right side's {right}"));
    }
    let found = diff(&here, &there, convention)?;
    let text = match args.format {
        CompareFormat::Table => diff_table(&found, args.fail_over),
        CompareFormat::Markdown => diff_markdown(&found, args.fail_over),
        CompareFormat::Json => serde_json::to_string_pretty(&diff_json(&found, args.fail_over, &VERSIONS))? + "\n",
    };
    emit(&text, args.output.as_deref())?;
    if !found.is_over(args.fail_over) {
        return Ok(ExitCode::SUCCESS);
    }
    hint(&found);
    Ok(ExitCode::FAILURE)
}

/// A graph file on that input, or on the one that it declares; else a saved trace.
fn right(path: &Path, input: Option<[usize; 4]>) -> Result<Trace> {
    if import::is_graph(path) {
        return import::open(path, input).with_context(|| path.display().to_string());
    }
    if path.is_file() && path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("json")) {
        bail!("{}: expected a trace (--trace-out) or {}", path.display(), import::FORMATS);
    }
    read_trace(path)
}

/// The plan of the network that a trace is of.
fn planned(trace: &Trace, config: Option<Config>) -> Result<Trace> {
    let meta = &trace.meta;
    let config = match config {
        Some(config) => config,
        None => detrace_config::zoo::get(&meta.model).transpose()?.with_context(|| {
            format!("the trace is of {:?}, which is no model of the zoo; name its configuration too", meta.model)
        })?,
    };
    let structure = structure_of(meta.structure.as_str()).with_context(|| {
        format!("the trace's structure is {:?}; there are plans of train, deploy and fast", meta.structure)
    })?;
    let input = meta
        .input
        .as_slice()
        .try_into()
        .with_context(|| format!("the trace's input {:?} is not N, C, H, W", meta.input))?;
    Ok(plan(&config, structure, input)?)
}

/// The structure whose plan is nearest to a graph: files do not say how their network was built.
fn structure_like(config: &Config, graph: &Trace) -> Result<detrace_flops::Structure> {
    use detrace_flops::Structure::{Deploy, Train};
    let Ok(input) = graph.meta.input.as_slice().try_into() else { return Ok(Train) };
    let apart = |structure| -> Result<u64> {
        Ok(diff(&plan(config, structure, input)?, graph, &conventions::FULL)?.unexplained_macs())
    };
    let nearest = if apart(Deploy)? < apart(Train)? { Deploy } else { Train };
    report(&format!("the graph is nearest to the structure `{}` (--structure takes another)", nearest.name()));
    Ok(nearest)
}

fn structure_of(name: &str) -> Option<detrace_flops::Structure> {
    detrace_flops::Structure::ALL.into_iter().find(|structure| structure.name() == name)
}

/// Says if the sides are only built differently.
fn hint(found: &Diff<'_>) {
    let mut products = found.unexplained().filter(|row| row.is_product()).peekable();
    if products.peek().is_some() && products.all(|row| row.reason == Some(Reason::Branches)) {
        report(
            "hint: all of it are RepVGG branches; one side is built as `train`, the other as `deploy` (--structure)",
        );
    }
}
