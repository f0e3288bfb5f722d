//! `detrace conventions`: one model under every convention.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use detrace_flops::explain::explain;
use detrace_flops::{View, conventions};
use detrace_report::{conventions_csv, conventions_json, conventions_markdown, conventions_table};

use crate::facts::FactsArgs;
use crate::{emit, graph, warn, writable};

#[derive(Debug, clap::Args)]
pub(crate) struct ConventionsArgs {
    #[command(flatten)]
    facts: FactsArgs,
    /// How to show them
    #[arg(long, value_enum, default_value = "table")]
    format: TableFormat,
    /// Write to a file instead of standard output, whole or not at all
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Ways to show a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    Table,
    Json,
    Markdown,
    Csv,
}

/// `detrace conventions`.
pub(crate) fn run(args: &ConventionsArgs) -> Result<ExitCode> {
    if let Some(path) = &args.output {
        writable(path)?;
    }
    let facts = args.facts.facts()?;
    let (trace, framework) = (&facts.trace, facts.framework);
    let view = View::new(trace, framework);
    let of_graph = graph::is_of_graph(trace);
    if of_graph {
        warn(
            "the trace is of a graph file: but for full and paddle-static, this is what the rules of tools that watch a model run give",
        );
    }
    let chosen = conventions::ALL.iter().filter(|convention| of_graph || !convention.of_programs);
    let rows = chosen.map(|convention| explain(&view, convention)).collect::<Result<Vec<_>, _>>()?;
    let text = match args.format {
        TableFormat::Table => conventions_table(&trace.meta, framework, &rows),
        TableFormat::Markdown => conventions_markdown(&trace.meta, framework, &rows),
        TableFormat::Json => serde_json::to_string_pretty(&conventions_json(&trace.meta, framework, &rows))? + "\n",
        TableFormat::Csv => conventions_csv(&rows).map_err(anyhow::Error::from_boxed)?,
    };
    emit(&text, args.output.as_deref())?;
    Ok(ExitCode::SUCCESS)
}
