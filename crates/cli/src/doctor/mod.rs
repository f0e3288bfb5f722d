//! `detrace doctor`: what this build can run on here, and whether it computes right there.

mod gpu;
mod selftest;

use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;

use anyhow::Result;
use candle_core::Device;
use clap::ValueEnum;
use detrace_report::{Machine, Versions};
use serde::Serialize;

use crate::bench::machine;
use crate::device::name;
use crate::{VERSIONS, emit};
use gpu::{Gpu, Library};
use selftest::Check;

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// How to show it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    schema: u32,
    versions: Versions,
    /// Cargo features of the build.
    features: Vec<&'static str>,
    machine: Machine,
    kernels: Kernels,
    cuda: Cuda,
    devices: Vec<Tested>,
}

/// The CPU kernels.
#[derive(Debug, Serialize)]
struct Kernels {
    isa: &'static str,
    threads: usize,
    /// Variables of the environment that change what runs.
    environment: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Cuda {
    /// As the driver calls itself, if one is loaded.
    driver: Option<String>,
    libraries: Vec<Library>,
    gpus: Vec<Gpu>,
    /// Why no GPU can be used, if none can.
    unusable: Option<String>,
}

/// A device with the results of its self-test.
#[derive(Debug, Serialize)]
struct Tested {
    device: String,
    checks: Vec<Check>,
}

/// `detrace doctor`.
pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let found = Findings::new();
    let text = match args.format {
        Format::Text => found.to_string(),
        Format::Json => serde_json::to_string_pretty(&found)? + "\n",
    };
    emit(&text, None)?;
    let right = found.devices.iter().flat_map(|device| &device.checks).all(|check| check.passed);
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Findings {
    fn new() -> Findings {
        let (gpus, devices, unusable) = gpu::all();
        let variables = ["DETRACE_ISA", "DETRACE_KERNELS", "DETRACE_WINOGRAD", "RAYON_NUM_THREADS"];
        let environment = variables
            .iter()
            .filter_map(|variable| Some(format!("{variable}={}", std::env::var_os(variable)?.to_string_lossy())));
        Findings {
            schema: detrace_flops::SCHEMA,
            versions: VERSIONS,
            features: [("cuda", cfg!(feature = "cuda")), ("cudnn", cfg!(feature = "cudnn"))]
                .into_iter()
                .filter_map(|(feature, on)| on.then_some(feature))
                .collect(),
            machine: machine::machine(),
            kernels: Kernels {
                isa: detrace_kernels::isa().name(),
                threads: detrace_kernels::threads(),
                environment: environment.collect(),
            },
            cuda: Cuda { driver: gpu::driver(), libraries: gpu::libraries(), gpus, unusable },
            devices: std::iter::once(Device::Cpu)
                .chain(devices)
                .map(|device| Tested { device: name(&device), checks: selftest::run(&device) })
                .collect(),
        }
    }
}

impl Display for Findings {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Findings { features, machine, kernels, cuda, devices, .. } = self;
        let list = |words: &[String], none: &str| if words.is_empty() { none.to_owned() } else { words.join(" ") };
        writeln!(out, "detrace      {}, {} build", crate::version(), machine.build)?;
        let features: Vec<String> = features.iter().map(|feature| (*feature).to_owned()).collect();
        writeln!(out, "features     {}", list(&features, "none (neither cuda nor cudnn)"))?;
        writeln!(out, "machine      {machine}")?;
        writeln!(out, "CPU kernels  {}, {} threads", kernels.isa, kernels.threads)?;
        writeln!(out, "environment  {}", list(&kernels.environment, "nothing that changes what runs"))?;
        writeln!(out, "driver       {}", cuda.driver.as_deref().unwrap_or("no NVIDIA driver is loaded"))?;
        for Library { name, path } in &cuda.libraries {
            let path = path.as_ref().map_or("not found".to_owned(), |path| path.display().to_string());
            writeln!(out, "  {name:<20} {path}")?;
        }
        for gpu in &cuda.gpus {
            writeln!(
                out,
                "{:<12} {}, compute capability {}, {} MiB",
                gpu.device, gpu.name, gpu.capability, gpu.memory
            )?;
        }
        if let Some(unusable) = &cuda.unusable {
            writeln!(out, "GPU          {unusable}")?;
        }
        for Tested { device, checks } in devices {
            writeln!(out, "self-test on {device}")?;
            for check in checks {
                writeln!(out, "  {check}")?;
            }
        }
        Ok(())
    }
}
