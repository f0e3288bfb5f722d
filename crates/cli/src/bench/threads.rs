//! The number of threads. rayon, candle's matrix products and candle's own pool take it from the environment, once, when
//! they are first used, so the program starts itself again in an environment that says it.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::warn;

/// What the pools read: rayon's and the matrix products' number, that of candle's elementwise operations.
const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// More threads than this are refused.
pub(super) const MOST: i64 = 1024;

/// Makes every pool have that many threads. Without a number it is `RAYON_NUM_THREADS`, or that of physical cores, at
/// most those that the process may use. The result is the number.
///
/// Nothing may have used a pool before, and the program may start anew: nothing may have been printed or written.
pub(super) fn limit(threads: Option<usize>) -> Result<usize> {
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    let set = |variable: &str| std::env::var(variable).ok().and_then(|number| number.parse().ok());
    let threads = match threads.or(set(VARIABLES[0])).filter(|&threads| threads > 0) {
        Some(threads) => threads,
        None => candle_core::utils::get_num_threads().min(usable),
    };
    if !i64::try_from(threads).is_ok_and(|threads| threads <= MOST) {
        bail!("{}={threads}: that is too many; take --threads {usable}", VARIABLES[0]);
    }
    if VARIABLES.iter().all(|variable| set(variable) == Some(threads)) {
        if threads > usable {
            warn(&format!("{threads} threads on {usable} cores wait for one another; take --threads {usable}"));
        }
        return Ok(threads);
    }
    let mut program = Command::new(std::env::current_exe().context("cannot find this program to start it anew")?);
    program.args(std::env::args_os().skip(1)).envs(VARIABLES.map(|variable| (variable, threads.to_string())));
    start(program)
}

/// Puts another program in the place of this one.
#[cfg(unix)]
fn start(mut program: Command) -> Result<usize> {
    use std::os::unix::process::CommandExt;
    Err(program.exec()).context("cannot start this program anew with its number of threads")
}

/// Runs another program and ends as it does.
#[cfg(not(unix))]
fn start(mut program: Command) -> Result<usize> {
    let status = program.status().context("cannot start this program anew with its number of threads")?;
    std::process::exit(status.code().unwrap_or(2))
}
