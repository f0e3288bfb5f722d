use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use detrace_config::{Config, Loaded};
use detrace_flops::{Convention, Count, CustomOps, Trace, conventions, count};
use detrace_report::{Rename, by_x, csv, json, layers, markdown, paddle_table, paddle_totals, stages, thousands, tree};
use detrace_weights::PaddleNames;

use crate::args::{FlopsArgs, Format, Names, Structure};
use crate::trace::{Input, check, parse_shape, trace};
use crate::{VERSIONS, blob, custom, emit, report, warn, writable};

/// `detrace flops`.
pub(crate) fn run(args: &FlopsArgs) -> Result<ExitCode> {
    // Everything that can be wrong with the request is found before the model runs.
    let convention = args.convention.as_deref().map(convention).transpose()?;
    if args.format == Format::Paddle && convention.is_some_and(|convention| convention.name != "paddle") {
        bail!("--format paddle is Paddle's own table, so it goes with --convention paddle only");
    }
    let custom_ops = custom::parse(&args.custom_op)?;
    for file in [&args.output, &args.trace_out].into_iter().flatten() {
        writable(file)?;
    }
    let (trace, config) = facts(args)?;
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
    let chosen = match args.format {
        Format::Paddle => &conventions::PADDLE,
        _ => convention.unwrap_or(&conventions::FULL),
    };
    let counted = count(&trace, chosen, &custom_ops)?;
    for message in custom::unused(&custom_ops, &trace, &counted, chosen) {
        warn(&message);
    }
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&json(&counted, &VERSIONS, rename))? + "\n",
        Format::Csv => csv(&counted, rename).map_err(anyhow::Error::from_boxed)?,
        Format::Tree => tree(&counted, rename),
        Format::Markdown => markdown(&counted, rename),
        Format::Paddle => paddle_table(&counted, &trace),
        Format::Table => overview(args, &trace, &counted, &custom_ops, convention, config.as_ref(), rename)?,
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

/// The facts: of a forward pass, or as saved.
fn facts(args: &FlopsArgs) -> Result<(Trace, Option<Config>)> {
    if let Some(path) = &args.from {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let trace = Trace::from_json(&text).with_context(|| path.display().to_string())?;
        let config = detrace_config::zoo::get(&trace.meta.model).and_then(Result::ok);
        return Ok((trace, config));
    }
    let model = args.model.as_deref().context("a model is needed")?;
    let Loaded { config, warnings } = Loaded::open(model)?;
    for warning in warnings {
        warn(&warning);
    }
    let shape = args.input.as_deref().map(parse_shape).transpose()?;
    let input = match &args.blob {
        Some(path) => {
            let size = shape.as_deref().map(|shape| check(&config, shape)).transpose()?;
            Input::Real(blob::read(path, &config, size.map(|size| (size.height, size.width)))?)
        }
        None => Input::Random(shape.unwrap_or_else(|| vec![1, 3, 640, 640])),
    };
    let structure = match args.structure {
        Structure::Train => detrace_nn::Structure::Train,
        Structure::Deploy => detrace_nn::Structure::Deploy,
    };
    Ok((trace(&config, input, args.seed, structure)?, Some(config)))
}

fn convention(name: &str) -> Result<&'static Convention> {
    Convention::by_name(name).with_context(|| {
        let names: Vec<&str> = conventions::ALL.iter().map(|convention| convention.name).collect();
        format!("there is no convention {name:?}; there are {}", names.join(", "))
    })
}

/// Blocks (or every layer), then the headline.
fn overview(
    args: &FlopsArgs,
    trace: &Trace,
    counted: &Count,
    custom_ops: &CustomOps,
    convention: Option<&'static Convention>,
    config: Option<&Config>,
    rename: Rename<'_>,
) -> Result<String> {
    let meta = &trace.meta;
    let shape = by_x(&meta.input);
    let mut text = format!(
        "{} ({}), input {shape}, {} {}, {} threads; {} operations in {:.0} ms\n",
        meta.model,
        meta.structure,
        meta.device,
        meta.dtype,
        meta.threads,
        thousands(trace.ops.len() as u64),
        trace.ops_time_ns() as f64 / 1e6,
    );
    text += &if args.detail { layers(counted, rename) } else { stages(counted, &trace.blocks, rename) };
    match convention {
        Some(convention) => {
            writeln!(text, "{}: {} ({})", convention.name, convention.about, convention.mirrors)?;
            writeln!(
                text,
                "total {} {}s, {} params",
                thousands(counted.total),
                counted.unit,
                thousands(counted.params)
            )?;
            if convention.name == "paddle" {
                writeln!(text, "{}", paddle_totals(counted))?;
            }
        }
        None => headline(&mut text, trace, counted, custom_ops, config)?,
    }
    audit(&mut text, counted)?;
    Ok(text)
}

fn headline(
    text: &mut String,
    trace: &Trace,
    full: &Count,
    custom_ops: &CustomOps,
    config: Option<&Config>,
) -> Result<()> {
    let paddle = count(trace, &conventions::PADDLE, custom_ops)?;
    writeln!(text, "params {}", thousands(full.params))?;
    writeln!(text, "MACs   {}", thousands(full.macs))?;
    writeln!(text, "FLOPs  {}   (2 per MAC, and everything that is not one)", thousands(full.flops))?;
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
