//! How long the program takes to answer without running a network, from the start of the process to its end:
//! `cargo bench --bench startup`. Fails if an answer takes longer than it may.

use std::io::{Error, Result, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

const RUNS: usize = 50;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("r50.json").display().to_string();
    milliseconds(&["static", "rtdetr_r50vd", "--trace-out", &trace])?;
    // Arguments, and the milliseconds that the median of the runs may take.
    let answers: [(&[&str], f64); 3] =
        [(&["--version"], 20.0), (&["static", "rtdetr_r50vd"], 20.0), (&["conventions", "--from", &trace], 100.0)];
    let mut late = Vec::new();
    for (args, most) in answers {
        let mut times = (0..RUNS).map(|_| milliseconds(args)).collect::<Result<Vec<f64>>>()?;
        times.sort_by(f64::total_cmp);
        let (least, median) = (times[0], times[RUNS / 2]);
        let command = format!("detrace {}", args.join(" ").replace(&trace, "r50.json"));
        writeln!(std::io::stdout(), "{command:36} median of {RUNS}: {median:.1} ms, least {least:.1} ms")?;
        if median > most {
            late.push(format!("{command} took {median:.1} ms and may take {most} ms"));
        }
    }
    if late.is_empty() { Ok(()) } else { Err(Error::other(late.join("; "))) }
}

fn milliseconds(args: &[&str]) -> Result<f64> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_detrace"));
    let start = Instant::now();
    let status = program.args(args).stdout(Stdio::null()).status()?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    if status.success() { Ok(time) } else { Err(Error::other(format!("{args:?}: {status}"))) }
}
