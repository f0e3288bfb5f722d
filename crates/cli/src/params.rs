//! `detrace params`: a model's parameters broken down.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use detrace_config::Config;
use detrace_flops::explain::{explain_params, holdings, other_buffers};
use detrace_flops::{Param, ParamRole, Structure, Trace, View, conventions};
use detrace_graph::plan;
use detrace_report::{Merging, ParamsReport};

use crate::conventions::TableFormat;
use crate::facts::FactsArgs;
use crate::{emit, graph, writable};

#[derive(Debug, clap::Args)]
pub(crate) struct ParamsArgs {
    #[command(flatten)]
    facts: FactsArgs,
    /// How to show them
    #[arg(long, value_enum, default_value = "table")]
    format: TableFormat,
    /// Write to a file instead of standard output, whole or not at all
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `detrace params`.
pub(crate) fn run(args: &ParamsArgs) -> Result<ExitCode> {
    if let Some(path) = &args.output {
        writable(path)?;
    }
    let facts = args.facts.facts()?;
    let trace = &facts.trace;
    if graph::is_of_graph(trace) {
        bail!(
            "{} is a graph file's trace, which has the parameters that it computes with and no modules; give a model",
            trace.meta.model
        );
    }
    if trace.params.is_empty() {
        bail!("the trace does not list the model's parameters; make it with `detrace flops MODEL --trace-out FILE`");
    }
    let view = View::new(trace, facts.framework);
    let tools = conventions::ALL.iter().filter(|convention| !convention.of_programs);
    let report = ParamsReport {
        meta: &trace.meta,
        framework: facts.framework,
        holdings: holdings(&view),
        buffers: other_buffers(&view),
        merging: facts.config.as_ref().map(|config| merging(config, trace)).transpose()?,
        tools: tools.map(|convention| explain_params(&view, convention)).collect::<Result<_, _>>()?,
    };
    let text = match args.format {
        TableFormat::Table => report.table(),
        TableFormat::Markdown => report.markdown(),
        TableFormat::Json => serde_json::to_string_pretty(&report.json())? + "\n",
        TableFormat::Csv => report.csv().map_err(anyhow::Error::from_boxed)?,
    };
    emit(&text, args.output.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// What folding norms and merging branches does to the learned parameters of a model.
fn merging(config: &Config, trace: &Trace) -> Result<Merging> {
    let &[batch, channels, height, width] = trace.meta.input.as_slice() else {
        bail!("the trace's input is {:?}; N, C, H, W are wanted", trace.meta.input);
    };
    let learned = |structure| -> Result<Vec<Param>> {
        let params = plan(config, structure, [batch, channels, height, width])?.params;
        Ok(params.into_iter().filter(|param| param.role != ParamRole::Statistic).collect())
    };
    let (train, deploy) = (learned(Structure::Train)?, learned(Structure::Deploy)?);
    let sum = |params: &[Param]| params.iter().map(Param::numel).sum::<u64>();
    // A deployed convolution is called as it was, or as the block that it took the place of; either way it has a bias.
    let made: u64 = {
        let before: std::collections::HashSet<&str> = train.iter().map(|param| param.name.as_str()).collect();
        let new = deploy.iter().filter(|param| param.role == ParamRole::Bias && !before.contains(param.name.as_str()));
        new.map(Param::numel).sum()
    };
    let (train, deploy) = (sum(&train), sum(&deploy));
    Ok(Merging { train, merged_away: train + made - deploy, made, deploy })
}
