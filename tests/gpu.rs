//! Every kernel and layer on a GPU beside the CPU, where there is a GPU; elsewhere each is told as skipped, and counted.
//!
//! It has no harness, so what it says is seen: `cargo test --test gpu`.

#![allow(clippy::print_stdout)] // what is skipped is said

mod common;

use std::process::ExitCode;

use common::{detrace, text};

/// Names and results of the checks on a device; else why there are none.
fn checks(device: &str) -> Result<Vec<(String, bool)>, String> {
    let output = detrace(&["doctor", "--device", device, "--format", "json"]);
    if output.status.code() == Some(2) {
        return Err(text(&output.stderr).trim().to_owned());
    }
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = found["devices"][0]["checks"].as_array().expect("a list");
    Ok(checks.iter().map(|check| (check.to_string(), check["passed"] == true)).collect())
}

fn main() -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    match checks("cuda") {
        Ok(checks) => {
            for (check, right) in checks {
                println!("gpu: {} {check}", if right { "ok" } else { "FAILED" });
                *if right { &mut passed } else { &mut failed } += 1;
            }
        }
        Err(why) => {
            for (check, _) in checks("cpu").expect("the CPU's checks") {
                println!("gpu: SKIPPED {check}");
                skipped += 1;
            }
            println!("gpu: skipped because of {why}");
        }
    }
    println!("gpu: {passed} passed, {failed} failed, {skipped} SKIPPED");
    if failed > 0 || passed + skipped == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
