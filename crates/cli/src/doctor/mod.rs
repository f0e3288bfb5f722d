//! `detrace doctor`: what this build can run on here, and whether it computes right there.

mod gpu;
mod layers;
mod networks;
mod selftest;

use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;

use anyhow::Result;
use candle_core::Device;
use clap::ValueEnum;
use detrace_config::{Config, zoo};
use detrace_report::{Machine, Versions};
use serde::Serialize;

use crate::bench::{bar, machine};
use crate::device::{CHOICES, Choice, name};
use crate::trace::parse_shape;
use crate::{VERSIONS, emit, load};
use gpu::{Gpu, Library};
use networks::Network;
use selftest::Check;

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Test this device only [default: the CPU and every GPU]
    #[arg(long, value_name = CHOICES)]
    device: Option<Choice>,
    /// Also run these models of the zoo, or `all`, with seeded weights, in f32 and f16 beside the CPU's f32
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    models: Vec<String>,
    /// Shape of the models' input, NxCxHxW
    #[arg(long, value_name = "NxCxHxW", default_value = "4x3x640x640", requires = "models")]
    input: String,
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
    /// Networks beside the CPU's, if any were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<Network>,
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

/// Where the driver's library lies, if there is a driver.
#[cfg(feature = "cuda")]
pub(crate) fn driver_library() -> Option<std::path::PathBuf> {
    gpu::libraries().into_iter().next().and_then(|library| library.path)
}

/// `detrace doctor`.
pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let found = Findings::new(args)?;
    let text = match args.format {
        Format::Text => found.to_string(),
        Format::Json => serde_json::to_string_pretty(&found)? + "\n",
    };
    emit(&text, None)?;
    let mut checks = found.devices.iter().flat_map(|device| &device.checks);
    let right = checks.all(|check| check.passed) && found.networks.iter().all(|network| network.passed);
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The configurations of models of the zoo, of all for `all`.
fn configs(models: &[String]) -> Result<Vec<Config>> {
    match models {
        [all] if all == "all" => zoo::names().map(load).collect(),
        models => models.iter().map(|model| load(model)).collect(),
    }
}

impl Findings {
    fn new(args: &DoctorArgs) -> Result<Findings> {
        let configs = configs(&args.models)?;
        let input = parse_shape(&args.input)?;
        for config in &configs {
            crate::trace::check(config, &input, &Device::Cpu)?;
        }
        let (gpus, mut devices, unusable) = gpu::all();
        devices.insert(0, Device::Cpu);
        if let Some(choice) = args.device {
            devices = vec![choice.open()?];
        }
        let mut networks = Vec::new();
        let bar = bar(configs.len());
        for config in &configs {
            bar.set_message(config.name.clone());
            networks.extend(networks::run(config, &input, &devices)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let variables = ["DETRACE_ISA", "DETRACE_KERNELS", "DETRACE_WINOGRAD", "RAYON_NUM_THREADS"];
        let environment = variables
            .iter()
            .filter_map(|variable| Some(format!("{variable}={}", std::env::var_os(variable)?.to_string_lossy())));
        Ok(Findings {
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
            devices: devices
                .iter()
                .map(|device| {
                    let mut checks = selftest::run(device);
                    checks.extend(layers::run(device));
                    Tested { device: name(device), checks }
                })
                .collect(),
            networks,
        })
    }
}

impl Display for Findings {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Findings { features, machine, kernels, cuda, devices, networks, .. } = self;
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
        for network in networks {
            writeln!(out, "{network}")?;
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
