//! Where a forward pass runs: `--device`.

use std::str::FromStr;

use anyhow::{Result, anyhow};
use candle_core::Device;

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
    use candle_core::cuda_backend::cudarc::driver::result;
    let count = result::init().and_then(|()| result::device::get_count()).map_err(|error| Unusable {
        cause: format!("there is no NVIDIA driver or no GPU ({error})"),
        cure: "install a driver for CUDA 13.0 or later (580 or later); `detrace doctor` shows what was found",
    })?;
    if i32::try_from(number).is_ok_and(|number| number < count) {
        return Device::new_cuda(number).map_err(|error| Unusable {
            cause: format!("the GPU or CUDA's libraries cannot be used ({error})"),
            cure: "put cuBLAS, cuRAND and NVRTC of CUDA 13 on LD_LIBRARY_PATH; `detrace doctor` shows what was found",
        });
    }
    Err(Unusable { cause: format!("the driver has {count} GPUs, counted from 0"), cure: "name one of them" })
}

#[cfg(test)]
mod tests {
    use super::*;

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
