//! What `detrace run` holds in memory: under twice its weights and 300 MB.
#![cfg(target_os = "linux")]

mod common;

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use candle_core::Device;
use common::checkpoint::{Folder, needed, paddle, seeded};
use detrace::weights::seeded_image;

/// Largest resident memory of a run of the program in bytes, as Linux counts it.
fn peak(args: &[&str]) -> u64 {
    let mut program = Command::new(env!("CARGO_BIN_EXE_detrace"));
    let mut running = program.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    let mut peak = 0;
    // The figure only grows, and the output is written after the last of the memory was taken.
    let status = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
        if let Some(kib) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")) {
            peak = kib.parse().expect("a number");
        }
        match running.try_wait().expect("a child") {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(status.success(), "{args:?}: {status}");
    peak * 1024
}

#[test]
fn a_run_holds_less_than_twice_its_weights_and_300_mb() {
    let folder = Folder::new();
    let (input, output) = (folder.file("i.safetensors"), folder.file("o.safetensors"));
    let image = seeded_image(&[1, 3, 640, 640], 0, &Device::Cpu).expect("an image");
    candle_core::safetensors::save(&HashMap::from([("image", image)]), &input).expect("written");
    let tensors = needed("rtdetr_r50vd", 80);
    let weights = tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>() as u64 * 4).sum::<u64>();
    let (safetensors, pdparams) = (folder.file("w.safetensors"), folder.file("w.pdparams"));
    seeded(&safetensors, &tensors, 0);
    paddle(&pdparams, &tensors, 0);
    for file in [safetensors, pdparams] {
        let peak = peak(&["run", "rtdetr_r50vd", "--weights", &file, "--input", &input, "--output", &output]);
        // The network itself is in it: less than the weights would mean that nothing was measured.
        assert!(
            weights < peak && peak < 2 * weights + 300_000_000,
            "{file}: {weights} bytes of weights, {peak} in all"
        );
    }
}
