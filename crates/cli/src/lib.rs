//! The command line: arguments, commands, exit codes. Everything it prints goes through `emit` and `report`.

mod agreement;
mod args;
mod bench;
mod blob;
mod compare;
mod conventions;
mod convert;
mod custom;
mod detect;
mod device;
mod doctor;
mod facts;
mod flops;
mod graph;
mod guess;
mod models;
mod network;
mod params;
mod precision;
mod run;
mod show;
mod statics;
mod tensors;
mod trace;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use detrace_config::{Config, Loaded};
use detrace_detect::ModelFiles;
use detrace_flops::Trace;

/// Ours, candle's and the Paddle whose rules are mirrored.
pub(crate) const VERSIONS: detrace_report::Versions =
    detrace_report::Versions { detrace: env!("CARGO_PKG_VERSION"), candle: "0.11.1", paddle: "3.3.1" };

/// [`VERSIONS`] in a line.
pub(crate) fn version() -> String {
    format!("{} (candle {}; mirrors paddlepaddle {})", VERSIONS.detrace, VERSIONS.candle, VERSIONS.paddle)
}

/// Runs the program: 0 done, 1 a check failed, 2 bad usage or bad input.
pub fn main() -> ExitCode {
    let args = args::Args::parse();
    let done = match args.command {
        args::Command::Models(args) => models::run(&args),
        args::Command::Flops(args) => flops::run(&args),
        args::Command::Convert(args) => convert::run(&args),
        args::Command::Detect(args) => detect::run(&args),
        args::Command::Run(args) => run::run(&args),
        args::Command::Static(args) => statics::run(&args),
        args::Command::Doctor(args) => doctor::run(&args),
        args::Command::Bench(args) => bench::run(&args),
        args::Command::Compare(args) => compare::run(&args),
        args::Command::Conventions(args) => conventions::run(&args),
        args::Command::Params(args) => params::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// A reader such as `head` that has seen enough is no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Says something beside the output.
pub(crate) fn report(message: &str) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Says what the user may want to know, without failing.
pub(crate) fn warn(message: &str) {
    report(&format!("warning: {message}"));
}

/// Reads a model's configuration: a name of the zoo or a file.
pub(crate) fn load(model: &str) -> Result<Config> {
    open(model).map(|loaded| loaded.config)
}

/// The same with what else is known of it; its reader's warnings are shown.
pub(crate) fn open(model: &str) -> Result<Loaded> {
    let loaded = Loaded::open(model)?;
    for warning in &loaded.warnings {
        warn(warning);
    }
    Ok(loaded)
}

/// Reads a saved trace.
pub(crate) fn read_trace(path: &Path) -> Result<Trace> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Trace::from_json(&text).with_context(|| path.display().to_string())
}

/// Reads a model's configuration with the preprocessing beside it, and finds its checkpoint: a name of the zoo, a file or a
/// folder.
pub(crate) fn files(model: &str) -> Result<ModelFiles> {
    let files = ModelFiles::open(model)?;
    for warning in &files.loaded.warnings {
        warn(warning);
    }
    Ok(files)
}

/// Writes to a file, whole or not at all, or to standard output.
pub(crate) fn emit(text: &str, output: Option<&Path>) -> Result<()> {
    let Some(path) = output else {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        return Ok(stdout.flush()?);
    };
    write_whole(text.as_bytes(), path)
}

/// Writes a file, whole or not at all.
pub(crate) fn write_whole(bytes: &[u8], path: &Path) -> Result<()> {
    let write = || -> Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder(path))?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Finds out before long work whether a file can be written after it.
pub(crate) fn writable(path: &Path) -> Result<()> {
    let folder = folder(path);
    if !folder.is_dir() {
        bail!("cannot write {}: there is no folder {}", path.display(), folder.display());
    }
    if path.is_dir() {
        bail!("cannot write {}: it is a folder; name a file in it", path.display());
    }
    Ok(())
}

/// Whether to show progress: only where a person watches.
pub(crate) fn watched() -> bool {
    std::io::stderr().is_terminal()
}
