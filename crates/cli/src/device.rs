//! Where a forward pass runs: `--device`.

use std::str::FromStr;

use anyhow::{Result, anyhow, bail};
use candle_core::Device;
use detrace_flops::Timing;

use crate::report;

/// What `--device` takes.
pub(crate) const CHOICES: &str = "cpu|cuda|cuda:N|auto";

/// A device as the command line names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The CPU.
    #[default]
    Cpu,
    /// The GPU of that number.
    Cuda(usize),
    /// The first GPU if it can be used, else the CPU.
    Auto,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "cpu" => Ok(Choice::Cpu),
            "cuda" => Ok(Choice::Cuda(0)),
            "auto" => Ok(Choice::Auto),
            _ => text
                .strip_prefix("cuda:")
                .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|number| number.parse().ok())
                .map(Choice::Cuda)
                .ok_or_else(|| "a device is cpu, cuda (the first GPU), cuda:N or auto".to_owned()),
        }
    }
}

impl Choice {
    /// The device. `auto` says on standard error why it took the CPU.
    pub(crate) fn open(self) -> Result<Device> {
        match self {
            Choice::Cpu => Ok(Device::Cpu),
            Choice::Cuda(number) => {
                gpu(number).map_err(|unusable| anyhow!("--device cuda:{number}: {unusable}; or take --device cpu"))
            }
            Choice::Auto => gpu(0).or_else(|unusable| {
                report(&format!("--device auto: running on the CPU, as {}", unusable.cause));
                Ok(Device::Cpu)
            }),
        }
    }
}

/// How times of operations are taken: `--timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TimingChoice {
    /// CUDA's events around each operation: the GPU's own time, and its waiting for the processor
    Events,
    /// The processor's clock, the GPU waited for after each operation
    Sync,
    /// The processor's clock around the call alone: what launching takes
    Launch,
}

impl TimingChoice {
    /// As traces say it. What is not chosen is [`Sync`](TimingChoice::Sync); on the CPU, which computes in the call, that and
    /// `launch` are the wall clock.
    pub(crate) fn on(choice: Option<TimingChoice>, device: &Device) -> Result<Timing> {
        match (choice, device.is_cpu()) {
            (Some(TimingChoice::Events), true) => {
                bail!("--timing events: the CPU has no events; take --timing sync, or --device cuda")
            }
            (_, true) => Ok(Timing::Wall),
            (Some(TimingChoice::Events), false) => Ok(Timing::Events),
            (Some(TimingChoice::Launch), false) => Ok(Timing::Launch),
            (Some(TimingChoice::Sync) | None, false) => Ok(Timing::Synchronized),
        }
    }
}

/// Why a GPU cannot be used, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}; {cure}")]
pub(crate) struct Unusable {
    pub(crate) cause: String,
    pub(crate) cure: &'static str,
}

/// A device as reports name it.
pub(crate) fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".to_owned(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// The GPU of that number.
#[cfg(not(feature = "cuda"))]
pub(crate) fn gpu(_: usize) -> Result<Device, Unusable> {
    Err(Unusable {
        cause: "this build is without CUDA (the cargo feature `cuda`)".to_owned(),
        cure: "build with `cargo build --release --features cuda` (README, \"CUDA\")",
    })
}

/// The GPU of that number.
#[cfg(feature = "cuda")]
pub(crate) fn gpu(number: usize) -> Result<Device, Unusable> {
    use candle_core::cuda_backend::cudarc::driver::{DriverError, result, sys::CUresult};
    let driver = match result::init().and_then(|()| result::device::get_count()) {
        Ok(count) => Driver::Gpus(usize::try_from(count).unwrap_or_default()),
        Err(_) if crate::doctor::driver_library().is_none() => Driver::Missing,
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Driver::Gpus(0),
        Err(error) => Driver::Failed(error.to_string()),
    };
    driver.has(number)?;
    Device::new_cuda(number).map_err(|error| Unusable {
        cause: format!("the GPU or CUDA's libraries cannot be used ({error})"),
        cure: "put cuBLAS, cuRAND and NVRTC of CUDA 13 on LD_LIBRARY_PATH; `detrace doctor` shows what was found",
    })
}

/// What an NVIDIA driver says of its GPUs.
#[cfg(any(feature = "cuda", test))]
#[derive(Debug)]
enum Driver {
    /// There is none.
    Missing,
    /// It cannot be used, and why.
    Failed(String),
    /// It has so many.
    Gpus(usize),
}

#[cfg(any(feature = "cuda", test))]
impl Driver {
    /// Whether it has the GPU of that number.
    fn has(&self, number: usize) -> Result<(), Unusable> {
        const DRIVER: &str =
            "install a driver for CUDA 13.0 or later (580 or later); `detrace doctor` shows what was found";
        let (cause, cure) = match self {
            Driver::Missing => ("there is no NVIDIA driver (libcuda.so.1 was not found)".to_owned(), DRIVER),
            Driver::Failed(error) => (format!("the NVIDIA driver cannot be used ({error})"), DRIVER),
            Driver::Gpus(0) => (
                "the NVIDIA driver finds no GPU".to_owned(),
                "see that there is one and that this process may use it (CUDA_VISIBLE_DEVICES, a container's --gpus)",
            ),
            Driver::Gpus(count) if number >= *count => {
                (format!("the driver has {count} GPUs, counted from 0"), "name one of them")
            }
            Driver::Gpus(_) => return Ok(()),
        };
        Err(Unusable { cause, cure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_driver_and_a_missing_gpu_are_told_apart() {
        let said = |driver: Driver, number| driver.has(number).err().map(|unusable| unusable.to_string());
        for (driver, number, parts) in [
            (Driver::Missing, 0, ["no NVIDIA driver (libcuda.so.1", "install a driver"]),
            (Driver::Failed("too old".to_owned()), 0, ["cannot be used (too old)", "install a driver"]),
            (Driver::Gpus(0), 0, ["finds no GPU", "CUDA_VISIBLE_DEVICES"]),
            (Driver::Gpus(2), 2, ["has 2 GPUs, counted from 0", "name one"]),
        ] {
            let name = format!("{driver:?}");
            let said = said(driver, number).unwrap_or_else(|| panic!("{name} has GPU {number}"));
            assert!(parts.iter().all(|part| said.contains(part)), "{name}: {said}");
        }
        assert_eq!(said(Driver::Gpus(2), 1), None);
    }

    #[test]
    fn what_can_time_depends_on_the_device() {
        let on = |choice| TimingChoice::on(choice, &Device::Cpu).ok();
        for choice in [None, Some(TimingChoice::Sync), Some(TimingChoice::Launch)] {
            assert_eq!(on(choice), Some(Timing::Wall), "{choice:?}");
        }
        assert_eq!(on(Some(TimingChoice::Events)), None);
    }

    #[test]
    fn devices_are_read() {
        let read = |text: &str| text.parse::<Choice>().ok();
        assert_eq!(read("cpu"), Some(Choice::Cpu));
        assert_eq!(read("cuda"), Some(Choice::Cuda(0)));
        assert_eq!(read("cuda:3"), Some(Choice::Cuda(3)));
        assert_eq!(read("auto"), Some(Choice::Auto));
        for text in ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:+1", "cuda:99999999999999999999", "cuda3", "metal"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
