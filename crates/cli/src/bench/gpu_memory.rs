//! Memory of a GPU.

use candle_core::Device;

/// The most memory that tensors had on the GPU so far, in MiB; none on the CPU, or where the driver does not tell.
pub(crate) fn peak(device: &Device) -> Option<f64> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        return detrace_nn::peak_memory(device).map(|bytes| bytes as f64 / f64::from(1 << 20));
    }
    let _ = device;
    None
}

/// Bytes that are free on the GPU; none on the CPU.
pub(crate) fn free(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        let (free, _) = device.cuda_stream().context().mem_get_info().ok()?;
        return u64::try_from(free).ok();
    }
    let _ = device;
    None
}
