//! `--device`: which devices there are, and what is said where one cannot be used.
//!
//! Where a GPU can be used the tests of its absence are skipped, and say so.

#![allow(clippy::print_stderr)] // what is skipped is said

mod common;

use common::{detrace, done, refused, text};

const SMALL: [&str; 4] = ["flops", "rtdetr_r18vd", "--input", "1x3x256x320"];

/// What a refusal names here: the missing feature, or with the feature the missing driver.
fn cause() -> [&'static str; 3] {
    match cfg!(feature = "cuda") {
        true => ["there is no NVIDIA driver (libcuda.so.1", "install a driver", "--device cpu"],
        false => ["without CUDA", "--features cuda", "--device cpu"],
    }
}

fn has_gpu() -> bool {
    let found = std::path::Path::new("/proc/driver/nvidia/version").exists() && cfg!(feature = "cuda");
    if found {
        eprintln!("SKIPPED: there is an NVIDIA driver, so nothing refuses the GPU");
    }
    found
}

#[test]
fn a_gpu_that_is_not_there_is_refused_with_the_cause_and_the_cure() {
    if has_gpu() {
        return;
    }
    let files = ["--weights", "none.pth", "--input", "none.safetensors", "--output", "none.out"];
    let commands: [&[&str]; 4] = [
        &["flops", "rtdetr_r18vd"],
        &["compare", "rtdetr_r18vd"],
        &["bench", "rtdetr_r18vd"],
        &[&["run", "rtdetr_r18vd"], &files[..]].concat(),
    ];
    for command in commands {
        for device in ["cuda", "cuda:7"] {
            let number = device.strip_prefix("cuda:").unwrap_or("0");
            let named = format!("--device cuda:{number}");
            refused(&[command, &["--device", device]].concat(), &[&cause()[..], &[&named]].concat());
        }
    }
}

#[test]
fn detect_refuses_the_same() {
    if has_gpu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("a.png");
    image::RgbImage::new(8, 8).save(&picture).expect("a picture");
    let picture = picture.to_str().expect("UTF-8");
    refused(&["detect", "rtdetr_r18vd", picture, "--weights", "none.pth", "--device", "cuda"], &cause());
}

#[test]
fn what_is_no_device_is_refused() {
    for device in ["gpu", "cuda:", "cuda:-1", "metal"] {
        refused(&[&SMALL[..], &["--device", device]].concat(), &["--device", device, "cuda:N"]);
    }
    refused(&["flops", "--from", "x.json", "--device", "cpu"], &["cannot be used with"]);
    refused(&["compare", "--from", "x.json", "--device", "cpu"], &["cannot be used with"]);
    refused(&["flops", "model.onnx", "--device", "cpu"], &["--device"]);
}

/// On the CPU `sync` and `launch` are the wall clock; events are refused before anything runs.
#[test]
fn timing_is_written_in_traces_and_reports() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("t.json");
    let trace = trace.to_str().expect("UTF-8");
    for timing in ["sync", "launch"] {
        done(&[&SMALL[..], &["--timing", timing, "--trace-out", trace]].concat());
        let written: serde_json::Value = serde_json::from_slice(&std::fs::read(trace).expect("written")).expect("JSON");
        assert_eq!(written["meta"]["timing"], "wall");
        let times = written["ops"].as_array().expect("a list").iter().map(|op| op["time_ns"].as_u64().unwrap_or(0));
        assert!(times.sum::<u64>() > 1_000_000);
    }
    let bench = [&["bench"], &SMALL[1..], &["--warmup", "0", "--iters", "1"]].concat();
    let report = done(&[&bench[..], &["--detail", "--timing", "launch", "--format", "json"]].concat());
    assert_eq!(serde_json::from_str::<serde_json::Value>(&report).expect("JSON")["timing"], "wall");
    for command in [&SMALL[..], &[&bench[..], &["--detail"]].concat()] {
        refused(
            &[command, &["--timing", "events"]].concat(),
            &["--timing events: the CPU has no events", "--timing sync", "--device cuda"],
        );
    }
    refused(&[&bench[..], &["--timing", "sync"]].concat(), &["--detail"]);
    refused(&["flops", "model.onnx", "--timing", "sync"], &["--timing"]);
}

#[test]
fn auto_falls_back_to_the_cpu_and_says_so() {
    if has_gpu() {
        return;
    }
    // Paddle's table has no times in it.
    let small = [&SMALL[..], &["--format", "paddle"]].concat();
    let output = detrace(&[&small[..], &["--device", "auto"]].concat());
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("--device auto: running on the CPU, as") && said.contains(cause()[0]), "{said}");
    assert_eq!(text(&output.stdout), done(&small));
    let quiet = text(&detrace(&[&small[..], &["--device", "cpu"]].concat()).stderr);
    assert!(!quiet.contains("--device"), "{quiet}");
}
