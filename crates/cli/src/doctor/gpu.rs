//! What there is of NVIDIA's: driver, libraries, GPUs.

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::Serialize;

/// A library that the feature `cuda` opens, and where it lies.
#[derive(Debug, Serialize)]
pub(super) struct Library {
    pub(super) name: &'static str,
    pub(super) path: Option<PathBuf>,
}

/// A GPU as its driver describes it.
#[derive(Debug, Serialize)]
pub(super) struct Gpu {
    pub(super) device: String,
    pub(super) name: String,
    /// Compute capability, for instance 9.0.
    pub(super) capability: String,
    /// MiB.
    pub(super) memory: usize,
}

/// The first of these names that is found is the one.
const LIBRARIES: [(&str, &[&str]); 6] = [
    ("libcuda (driver)", &["libcuda.so.1"]),
    ("libcublas", &["libcublas.so.13", "libcublas.so.12"]),
    ("libcublasLt", &["libcublasLt.so.13", "libcublasLt.so.12"]),
    ("libcurand", &["libcurand.so.10"]),
    ("libnvrtc", &["libnvrtc.so.13", "libnvrtc.so.12"]),
    ("libcudnn (cudnn)", &["libcudnn.so.9"]),
];

/// Where the dynamic linker and the stand-ins of `scripts/setup-cuda.sh` look, after the environment's folders.
const FOLDERS: [&str; 7] = [
    "/usr/local/nvidia/lib64",
    "/usr/local/cuda/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/wsl/lib",
];

/// What the loaded driver says of itself.
pub(super) fn driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// The libraries, found or not.
pub(super) fn libraries() -> Vec<Library> {
    let variable = |name| std::env::var_os(name).unwrap_or_default();
    let (first, second) = (variable("LD_LIBRARY_PATH"), variable("CUDA_SHIM_PATH"));
    let folders: Vec<PathBuf> =
        std::env::split_paths(&first).chain(std::env::split_paths(&second)).chain(FOLDERS.map(PathBuf::from)).collect();
    LIBRARIES.map(|(name, files)| Library { name, path: find(&folders, files) }).into()
}

fn find(folders: &[PathBuf], files: &[&str]) -> Option<PathBuf> {
    let place =
        |file: &&str| folders.iter().map(|folder: &PathBuf| Path::join(folder, file)).find(|path| path.is_file());
    files.iter().find_map(place)
}

/// Every GPU that can be used, opened; else why none can.
#[cfg(not(feature = "cuda"))]
pub(super) fn all() -> (Vec<Gpu>, Vec<Device>, Option<String>) {
    (Vec::new(), Vec::new(), crate::device::gpu(0).err().map(|unusable| unusable.to_string()))
}

/// Every GPU that can be used, opened; else why none can.
#[cfg(feature = "cuda")]
pub(super) fn all() -> (Vec<Gpu>, Vec<Device>, Option<String>) {
    let (mut gpus, mut devices) = (Vec::new(), Vec::new());
    let unusable = loop {
        let opened = crate::device::gpu(devices.len());
        match opened {
            Ok(device) => {
                gpus.extend(describe(&device));
                devices.push(device);
            }
            // After the last GPU there is none, which is no fault.
            Err(unusable) => break devices.is_empty().then(|| unusable.to_string()),
        }
    };
    (gpus, devices, unusable)
}

#[cfg(feature = "cuda")]
fn describe(device: &Device) -> Option<Gpu> {
    let stream = device.as_cuda_device().ok()?.cuda_stream();
    let context = stream.context();
    let (major, minor) = context.compute_capability().ok()?;
    Some(Gpu {
        device: crate::device::name(device),
        name: context.name().ok()?,
        capability: format!("{major}.{minor}"),
        memory: context.total_mem().ok()? >> 20,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_in_the_first_folder_is_found() {
        let make = || tempfile::tempdir().expect("a folder");
        let (one, two) = (make(), make());
        let folders = [one.path().to_path_buf(), two.path().to_path_buf()];
        assert_eq!(find(&folders, &["libx.so.2", "libx.so.1"]), None);
        std::fs::write(two.path().join("libx.so.2"), "").expect("writes");
        std::fs::write(one.path().join("libx.so.1"), "").expect("writes");
        assert_eq!(find(&folders, &["libx.so.2", "libx.so.1"]), Some(two.path().join("libx.so.2")));
        std::fs::write(one.path().join("libx.so.2"), "").expect("writes");
        assert_eq!(find(&folders, &["libx.so.2", "libx.so.1"]), Some(one.path().join("libx.so.2")));
    }
}
