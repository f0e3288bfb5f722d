//! `detrace bench` as a user meets it: its figures fit together, its threads are limited, its errors.

mod common;

use common::checkpoint::{Folder, needed, seeded};
use common::{detrace, done, refused, text};
use serde_json::Value;

const SMALL: [&str; 4] = ["bench", "rtdetr_r18vd", "--input", "1x3x256x320"];

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&done(&[args, &["--format", "json"]].concat())).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn figures_fit_together() {
    let report =
        json(&[&SMALL[..2], &["--input", "2x3x256x320", "--warmup", "0", "--iters", "3", "--detail"]].concat());
    let times = numbers(&report["times"]);
    assert_eq!((times.len(), &report["iters"], &report["batch"]), (3, &3.into(), &2.into()));
    let forward = |key: &str| number(&report["forward"][key]);
    let mut order = times.clone();
    order.sort_by(f64::total_cmp);
    assert_eq!([forward("min"), forward("median"), forward("max")], [order[0], order[1], order[2]]);
    assert!((forward("p90") - (order[1] + 0.8 * (order[2] - order[1]))).abs() < 1e-9);
    let summary = |stage: &str, key: &str| number(&report[stage][key]);
    for stage in ["pre", "post"] {
        let (least, most) = (summary(stage, "min"), summary(stage, "max"));
        assert!(0.0 < least && least <= most && most < order[0], "{stage}: {least} to {most} s");
    }
    let mean = ["pre", "forward", "post"].map(|stage| summary(stage, "mean")).iter().sum::<f64>();
    assert!((summary("total", "mean") - mean).abs() < 1e-9);
    assert!((number(&report["images_per_second"]) - 2.0 / summary("total", "median")).abs() < 1e-9);
    assert!(number(&report["load"]) > 0.0 && number(&report["first"]) > 0.0);
    // 20 million parameters of 4 bytes are 77 MiB, and they are loaded before anything runs.
    let (load, peak) = (number(&report["rss_load"]), number(&report["rss_peak"]));
    assert!(77.0 < load && load < peak && peak < 4096.0, "{load} MiB, {peak} MiB");
    let (weights, maps) = (number(&report["memory_weights"]), number(&report["memory_maps"]));
    assert!(77.0 < weights && 1.0 < maps && weights + maps < peak, "{weights} and {maps} of {peak} MiB");
    assert_eq!((&report["structure"], &report["dtype"]), (&"fast".into(), &"f32".into()));
    assert!(report["weights"].is_null() && report["schema"] == 1 && report["seed"] == 0);
    let machine = &report["machine"];
    for key in ["cpu", "features", "memory", "logical_cores", "os", "arch", "build"] {
        assert!(!machine[key].is_null(), "{machine}");
    }

    let layers = report["layers"].as_array().expect("layers");
    let seconds: f64 = layers.iter().map(|layer| number(&layer["time"])).sum();
    // Medians of three passes do not add up exactly; a quiet machine is within a few percent.
    assert!((0.7..1.3).contains(&(seconds / order[1])), "layers {seconds} s, forward {} s", order[1]);
    let share: f64 = layers.iter().map(|layer| number(&layer["share"])).sum();
    assert!((share - seconds / order[1]).abs() < 1e-6);
    let part = |key: &str| number(&report["operations"][key]);
    assert!((part("time") + part("between") - forward("mean")).abs() < 1e-9, "{}", report["operations"]);
    assert!((part("between_share") * forward("mean") - part("between")).abs() < 1e-9, "{}", report["operations"]);
    assert!(part("between") > 0.0, "{}", report["operations"]);
    let paths: Vec<&str> = layers.iter().map(|layer| layer["path"].as_str().expect("a path")).collect();
    assert_eq!(paths.iter().filter(|path| **path == "#glue").count(), 1);
    let layer = |path: &str| &layers[paths.iter().position(|other| *other == path).expect(path)];
    let first = layer("backbone.conv1.conv1_1.conv");
    assert_eq!((&first["kind"], &first["calls"]), (&"conv2d".into(), &1.into()));
    assert_eq!(first["output"], serde_json::json!([2, 32, 128, 160]));
    assert_eq!(layer("decoder.query_pos_head.layers.0")["calls"], 3);
}

/// Threads of the program while it runs: its own, N of rayon, N - 1 each of candle's pool and of the kernels' beside the one that calls.
#[cfg(target_os = "linux")]
#[test]
fn threads_are_as_many_as_asked_for() {
    use std::process::{Command, Stdio};

    for (threads, environment, wanted) in [("1", None, 2), ("3", None, 8), ("1", Some("3"), 2)] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_detrace"));
        program.args(SMALL).args(["--warmup", "0", "--iters", "1", "--format", "json", "--threads", threads]);
        program.env_remove("RAYON_NUM_THREADS").env_remove("CANDLE_NUM_THREADS");
        if let Some(number) = environment {
            program.env("RAYON_NUM_THREADS", number).env("CANDLE_NUM_THREADS", number);
        }
        let mut running = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
        let mut most = 0;
        while running.try_wait().expect("a child").is_none() {
            let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
            let count = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap_or("0");
            most = most.max(count.trim().parse::<usize>().expect("a number"));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let report: Value = serde_json::from_reader(running.stdout.take().expect("a pipe")).expect("JSON");
        assert_eq!((most, report["threads"].to_string()), (wanted, threads.to_owned()), "{environment:?}");
    }
}

#[test]
fn the_table_says_what_was_timed() {
    let folder = Folder::new();
    let weights = folder.file("w.safetensors");
    seeded(&weights, &needed("rtdetr_r18vd", 80), 1);
    let fast = ["--warmup", "1", "--iters", "2"];
    let table = done(&[&SMALL[..], &fast, &["--weights", &weights, "--structure", "train"]].concat());
    for part in [
        "rtdetr_r18vd (train), input 1x3x256x320, cpu f32",
        "w.safetensors",
        "p99",
        "1 to warm up, 2 timed",
        "post-processing",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(!table.contains("seeded") && !table.contains("#glue"), "{table}");
    let output = folder.file("bench.txt");
    assert_eq!(done(&[&SMALL[..], &fast, &["--detail", "--output", &output]].concat()), "");
    let table = std::fs::read_to_string(&output).expect("a table");
    for part in [
        "seeded weights (seed 0)",
        "#glue",
        "% between (means of the timed forward passes)",
        "encoder.encoder.0.layers.0.self_attn#scores",
        "MiB at the peak",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

#[test]
fn bad_requests_are_refused() {
    let refuse = |more: &[&str], parts: &[&str]| refused(&[&["bench", "rtdetr_r18vd"], more].concat(), parts);
    refuse(&["--device", "cuda"], &["--device cuda", "--device cpu"]);
    refuse(&["--iters", "0"], &["--iters", "0 is not in 1.."]);
    refuse(&["--threads", "0"], &["--threads", "1..=1024"]);
    refuse(&["--threads", "2000"], &["--threads", "1..=1024"]);
    refuse(&["--batch", "0"], &["may be 0"]);
    refuse(&["--batch", "1000000"], &["MiB"]);
    refuse(&["--batch", "2", "--input", "1x3x640x640"], &["--batch 2", "1x3x640x640"]);
    refuse(&["--input", "1x3x650x640"], &["multiples of 32"]);
    refuse(&["--structure", "slow"], &["train, deploy, fast"]);
    refuse(&["--weights", "none.safetensors"], &["cannot read", "none.safetensors"]);
    refuse(&["--output", "none/bench.json"], &["no folder"]);
    refused(&["bench", "rtdetr_r50"], &["did you mean rtdetr_r50vd?"]);
    refused(&["bench"], &["required"]);
    let mut program = assert_cmd::Command::cargo_bin("detrace").expect("the program");
    let output = program.args(SMALL).env("RAYON_NUM_THREADS", "100000").output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("RAYON_NUM_THREADS=100000: that is too many"));
    let help = text(&detrace(&["bench", "--help"]).stdout);
    for part in ["Examples:", "--warmup", "docs/bench.md"] {
        assert!(help.contains(part), "{help}");
    }
}
