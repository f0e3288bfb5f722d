//! Compiles the kernels to PTX, which the driver compiles for its GPU. Only with the feature `cuda`.

use std::path::PathBuf;
use std::process::Command;

/// What nvcc is told besides the architecture, here and in `scripts/check-ptx.sh`.
const FLAGS: &str = include_str!("kernels/nvcc.flags");

fn main() {
    println!("cargo::rerun-if-changed=kernels");
    for variable in ["NVCC", "CUDA_COMPUTE_CAP"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    if let Err(fault) = compile() {
        println!("cargo::error={fault}; README.md, \"CUDA\", says what the feature `cuda` needs");
    }
}

fn compile() -> Result<(), String> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo gives no OUT_DIR")?);
    let nvcc = std::env::var("NVCC").unwrap_or_else(|_| "nvcc".to_owned());
    // PTX runs on what it is made for and on everything later.
    let least = std::env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "80".to_owned());
    for kernel in ["bias_act", "deformable", "depthwise", "pool", "top_k"] {
        let mut program = Command::new(&nvcc);
        program.arg(format!("-arch=compute_{least}")).args(FLAGS.split_whitespace()).arg("-o");
        program.arg(out.join(format!("{kernel}.ptx"))).arg(format!("kernels/{kernel}.cu"));
        let output = program.output().map_err(|error| format!("cannot run {nvcc}: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).lines().take(5).collect::<Vec<_>>().join(" | ");
            return Err(format!("{nvcc} refuses kernels/{kernel}.cu: {said}"));
        }
    }
    Ok(())
}
