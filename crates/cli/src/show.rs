//! Counting a trace and showing the count, for every command that does.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use detrace_config::Config;
use detrace_flops::{Convention, Count, CustomOps, Timing, Trace, View, conventions, count, count_as};
use detrace_report::{
    Rename, by_x, csv, json, kinds, layers, markdown, paddle_static_table, paddle_table, paddle_totals, stages,
    thousands, tree,
};
use detrace_weights::PaddleNames;

use crate::facts::FrameworkArg;
use crate::{VERSIONS, custom, emit, graph, report, warn, writable};

/// What is counted and how it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Whose rules count: full, paddle, paddle-static of Paddle's programs, or a tool for PyTorch: fvcore, thop,
    /// ultralytics-thop, ptflops, ptflops-aten, calflops, deepspeed, torch-flop-counter, torch-profiler, torchinfo [default:
    /// several in the overview, full elsewhere]
    #[arg(long, value_name = "NAME")]
    pub(crate) convention: Option<String>,
    #[command(flatten)]
    pub(crate) framework: FrameworkArg,
    /// Print every layer, not only blocks
    #[arg(long)]
    pub(crate) detail: bool,
    /// How to show the count
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    /// Write to a file instead of standard output, whole or not at all
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Whose names layers have
    #[arg(long, value_enum, default_value = "canonical")]
    pub(crate) names: Names,
    /// Save the facts that are counted, to be counted again with `detrace flops --from`
    #[arg(long, value_name = "FILE")]
    pub(crate) trace_out: Option<PathBuf>,
    /// A rule of your own for a kind of operation, over in, out, weight and macs; repeatable
    #[arg(long, value_name = "KIND=EXPRESSION")]
    pub(crate) custom_op: Vec<String>,
    /// Exit with 1 if an operation has no rule
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Csv,
    /// Modules as a tree with sums
    Tree,
    Markdown,
    /// Paddle's own table
    Paddle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Names {
    /// The official PyTorch code's
    Canonical,
    /// PaddleDetection's
    Paddle,
}

/// A request for a count that has been found to make sense.
pub(crate) struct Show<'a> {
    args: &'a ShowArgs,
    convention: Option<&'static Convention>,
    custom_ops: CustomOps,
}

impl ShowArgs {
    /// Finds everything that can be wrong with the request, before a model runs.
    pub(crate) fn check(&self) -> Result<Show<'_>> {
        let convention = self.convention.as_deref().map(convention).transpose()?;
        let paddles = |convention: &Convention| matches!(convention.name, "paddle" | "paddle-static");
        if self.format == Format::Paddle && !convention.is_none_or(paddles) {
            bail!("--format paddle is Paddle's own table, so it goes with --convention paddle or paddle-static only");
        }
        let custom_ops = custom::parse(&self.custom_op)?;
        for file in [&self.output, &self.trace_out].into_iter().flatten() {
            writable(file)?;
        }
        Ok(Show { args: self, convention, custom_ops })
    }
}

impl Show<'_> {
    /// Counts a trace and shows the count. `config` is the model's, where there is one.
    pub(crate) fn show(&self, trace: &Trace, config: Option<&Config>) -> Result<ExitCode> {
        let Show { args, convention, custom_ops } = self;
        if let Some(path) = &args.trace_out {
            emit(&(trace.to_json()? + "\n"), Some(path))?;
        }
        let names = PaddleNames::for_paths(trace.ops.iter().map(|op| op.path.as_str()));
        let paddle = |path: &str| names.module(path);
        let canonical = |_: &str| None;
        let rename: Rename<'_> = match args.names {
            Names::Canonical => &canonical,
            Names::Paddle => &paddle,
        };
        if args.format == Format::Paddle && convention.is_some_and(|it| it.of_programs != graph::is_of_graph(trace)) {
            bail!("--format paddle: --convention paddle is for a model, and paddle-static for a graph file");
        }
        let chosen = match args.format {
            Format::Paddle if graph::is_of_graph(trace) => &conventions::PADDLE_STATIC,
            Format::Paddle => &conventions::PADDLE,
            _ => convention.unwrap_or(&conventions::FULL),
        };
        let counted = count_as(&View::new(trace, args.framework.of(trace)), chosen, custom_ops)?;
        let note = graph::note(trace, &counted, chosen)?;
        let notes = note.iter().filter(|_| args.format != Format::Table).cloned();
        for message in custom::unused(custom_ops, trace, &counted, chosen).into_iter().chain(notes) {
            warn(&message);
        }
        let text = match args.format {
            Format::Json => serde_json::to_string_pretty(&json(&counted, &VERSIONS, rename))? + "\n",
            Format::Csv => csv(&counted, rename).map_err(anyhow::Error::from_boxed)?,
            Format::Tree => tree(&counted, rename),
            Format::Markdown => markdown(&counted, rename),
            Format::Paddle if chosen.of_programs => paddle_static_table(&counted, trace),
            Format::Paddle => paddle_table(&counted, trace),
            Format::Table => self.overview(trace, &counted, config, rename)?,
        };
        emit(&text, args.output.as_deref())?;
        let unknown = &counted.audit.unknown;
        if args.strict && !unknown.is_empty() {
            let paths: Vec<&str> = unknown.iter().map(|op| op.path.as_str()).collect();
            report(&format!("error: `{}` has no rule for {}", counted.convention, paths.join(", ")));
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Blocks (or every layer), then the headline.
    fn overview(&self, trace: &Trace, counted: &Count, config: Option<&Config>, rename: Rename<'_>) -> Result<String> {
        let meta = &trace.meta;
        let mut text = format!("{} ({}), input {}, ", meta.model, meta.structure, by_x(&meta.input));
        let operations = thousands(trace.ops.len() as u64);
        if meta.timing == Timing::None {
            writeln!(text, "on paper ({}); {operations} operations, none of which ran", meta.source)?;
        } else {
            let time = trace.ops_time_ns() as f64 / 1e6;
            let (device, dtype, threads) = (&meta.device, &meta.dtype, meta.threads);
            writeln!(text, "{device} {dtype}, {threads} threads; {operations} operations in {time:.0} ms")?;
        }
        text += &match self.args.detail {
            true => layers(counted, rename),
            // Operations of a graph file need not have names that tell blocks.
            false if graph::is_of_graph(trace) => kinds(counted),
            false => stages(counted, &trace.blocks, rename),
        };
        match self.convention {
            Some(convention) => {
                writeln!(text, "{}: {} ({})", convention.name, convention.about, convention.mirrors)?;
                writeln!(
                    text,
                    "total {} {}s, {} params",
                    thousands(counted.total),
                    counted.unit,
                    thousands(counted.params)
                )?;
                if convention.name == "paddle" && !graph::is_of_graph(trace) {
                    writeln!(text, "{}", paddle_totals(counted))?;
                }
            }
            None if graph::is_of_graph(trace) => graph_headline(&mut text, trace, counted, &self.custom_ops)?,
            None => headline(&mut text, trace, counted, &self.custom_ops, config)?,
        }
        if let Some(note) =
            self.convention.map(|convention| graph::note(trace, counted, convention)).transpose()?.flatten()
        {
            writeln!(text, "{note}")?;
        }
        audit(&mut text, counted)?;
        Ok(text)
    }
}

/// The convention with that name.
pub(crate) fn convention(name: &str) -> Result<&'static Convention> {
    Convention::by_name(name).with_context(|| {
        let names: Vec<&str> = conventions::ALL.iter().map(|convention| convention.name).collect();
        format!("there is no convention {name:?}; there are {}", names.join(", "))
    })
}

fn totals(text: &mut String, full: &Count) -> Result<()> {
    writeln!(text, "params {}", thousands(full.params))?;
    writeln!(text, "MACs   {}", thousands(full.macs))?;
    writeln!(text, "FLOPs  {}   (2 per MAC, and everything that is not one)", thousands(full.flops))?;
    Ok(())
}

/// Of a Paddle program also what Paddle gives.
fn graph_headline(text: &mut String, trace: &Trace, full: &Count, custom_ops: &CustomOps) -> Result<()> {
    totals(text, full)?;
    let paddle = count(trace, &conventions::PADDLE_STATIC, custom_ops)?;
    if let Ok(note) = graph::note(trace, &paddle, &conventions::PADDLE_STATIC) {
        writeln!(text)?;
        writeln!(text, "paddle.flops of the program ({}): {}", paddle.mirrors, paddle.total)?;
        if let Some(note) = note {
            writeln!(text, "{note}")?;
        }
    }
    Ok(())
}

fn headline(
    text: &mut String,
    trace: &Trace,
    full: &Count,
    custom_ops: &CustomOps,
    config: Option<&Config>,
) -> Result<()> {
    let paddle = count(trace, &conventions::PADDLE, custom_ops)?;
    totals(text, full)?;
    writeln!(text)?;
    writeln!(text, "paddle.flops of paddlepaddle {} prints (its \"Flops\" are MACs):", VERSIONS.paddle)?;
    writeln!(text, "{}", paddle_totals(&paddle))?;
    let published = config.and_then(|config| config.published.as_ref());
    let changed = custom_ops.kinds().next().is_some();
    let standard = trace.meta.input == [1, 3, 640, 640] && trace.meta.structure == "train" && !changed;
    if let Some(published) = published.filter(|_| standard) {
        // The table of RT-DETR-H quotes Paddle's own figure, every other the parameters that `full` counts.
        let millions = |params: u64| params / 1_000_000;
        let quotes_paddle =
            published.params_m == millions(paddle.params) && published.params_m != millions(full.params);
        let (params, how) = if quotes_paddle {
            (paddle.params, "Paddle's Total Params")
        } else {
            (full.params, "parameters without norm statistics")
        };
        writeln!(text)?;
        writeln!(
            text,
            "published: Params(M) {}, FLOPs(G) {} ({})",
            published.params_m, published.flops_g, published.source
        )?;
        writeln!(text, "  Params(M) = floor({params} / 1e6) = {}, {how}", millions(params))?;
        writeln!(text, "  FLOPs(G)  = floor(2 x {} / 1e9) = {}", paddle.total, 2 * paddle.total / 1_000_000_000)?;
    }
    Ok(())
}

fn audit(text: &mut String, counted: &Count) -> Result<()> {
    let audit = &counted.audit;
    for op in &audit.unknown {
        writeln!(text, "unknown: no rule for {} ({}); its arithmetic is missing from the total", op.path, op.kind)?;
    }
    if !audit.invisible.is_empty() {
        let params: u64 = audit.invisible.iter().map(|op| op.params).sum();
        let (count, params) = (audit.invisible.len(), thousands(params));
        writeln!(text, "invisible to it: {count} operations with {params} params (--format json lists them)")?;
    }
    if !audit.uncalled.is_empty() {
        let params: u64 = audit.uncalled.iter().map(|module| module.params).sum();
        let names: Vec<&str> = audit.uncalled.iter().map(|module| module.path.as_str()).collect();
        writeln!(text, "uncalled: {} params in {}", thousands(params), names.join(", "))?;
    }
    Ok(())
}
