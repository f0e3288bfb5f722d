//! Graph files where a model may stand: nothing runs, and they are what they are.

use std::path::Path;

use anyhow::{Context, Result, bail};
use detrace_flops::{Convention, Count, Trace, Verdict};
use detrace_graph::import;

use crate::show::{Names, ShowArgs};
use crate::trace::parse_shape;

/// The operations of a graph file, if `model` names one. `unfit` are options that the user gave and that only a model has.
pub(crate) fn open(model: &str, input: Option<&str>, show: &ShowArgs, unfit: &[&str]) -> Result<Option<Trace>> {
    let path = Path::new(model);
    if !import::is_graph(path) {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_lowercase();
        if !matches!(extension.as_str(), "" | "yaml" | "yml" | "json") && path.is_file() {
            let formats = import::FORMATS;
            bail!("{model} is no configuration of a model (.yaml, .yml, .json) and no graph file: {formats}");
        }
        return Ok(None);
    }
    if let [option, ..] = unfit {
        bail!("{option} is for a model that is built and run; {model} is a graph file, which is counted as it is");
    }
    if show.names != Names::Canonical {
        bail!(
            "--names is for models whose layers have names of several schemes; operations of {model} have the file's"
        );
    }
    let input = input.map(parse_shape).transpose()?;
    Ok(Some(import::open(path, input).with_context(|| model.to_owned())?))
}

/// Whether a trace was read from a graph file.
pub(crate) fn is_of_graph(trace: &Trace) -> bool {
    trace.ops.iter().any(|op| op.program.is_some())
}

/// What has to be said about a convention's count of a trace, where one of them is about programs and the other is not,
/// or where no tool confirms the count.
///
/// # Errors
/// If the convention has nothing to count in the trace.
pub(crate) fn note(trace: &Trace, counted: &Count, convention: &Convention) -> Result<Option<String>> {
    let name = convention.name;
    if !convention.of_programs {
        let runs = is_of_graph(trace) && name != "full";
        return Ok(runs.then(|| {
            format!(
                "`{name}` mirrors a tool that watches a model run; of a graph file this is what its rules give, not what it prints"
            )
        }));
    }
    if !is_of_graph(trace) {
        bail!("`{name}` counts the operations of a program; give a .pdmodel or Paddle 3's .json instead of a model");
    }
    if counted.rows.iter().all(|row| row.verdict == Verdict::Invisible) {
        bail!("`{name}` counts operations of Paddle's, and {} has none that it knows", trace.meta.source);
    }
    Ok(trace.meta.source.ends_with(".json").then(|| {
        "no Paddle version can count a program of Paddle 3 (PIR); this is what the rules of 2.6.2 give, and nothing confirms it"
            .to_owned()
    }))
}
