//! Tensors in files: the image that a network runs on, and what it gave.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use detrace_weights::{Checkpoint, Dtype, Entry, Format, WeightsError, write_safetensors};

/// What the tensor of images is called.
const IMAGE: &str = "image";

/// Reads an image batch, f32 [N, 3, H, W], from a safetensors file: the tensor `image`, or the only one if `lone` is set.
pub(crate) fn read_image(path: &Path, lone: bool) -> Result<Tensor> {
    let file = Checkpoint::open(path)?;
    let fault = |fault: String| anyhow::anyhow!("{}: {fault}", path.display());
    if file.format() != Format::Safetensors {
        return Err(fault(format!("it is of format {}, and the input is a safetensors file", file.format())));
    }
    let names: Vec<&str> = file.names().collect();
    let name = match names.as_slice() {
        names if names.contains(&IMAGE) => IMAGE,
        [only] if lone => only,
        [] => return Err(fault("it holds no tensors; \"image\" is wanted".to_owned())),
        names => {
            let (shown, count) = (names.iter().take(3).copied().collect::<Vec<_>>().join(", "), names.len());
            return Err(fault(format!("none of its tensors is called \"image\"; it has {count}: {shown}")));
        }
    };
    let info = file.info(name).context("a tensor that was listed")?;
    if info.dtype != Dtype::F32 {
        return Err(fault(format!("tensor {name:?} is of type {}; F32 is wanted", info.dtype.name())));
    }
    let shape = info.shape.to_vec();
    four_dims(&shape, &format!("tensor {name:?}")).with_context(|| path.display().to_string())?;
    let values = info.dtype.to_f32(&file.bytes(name)?);
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(fault(format!("tensor {name:?} is {} at index {at}; finite numbers are wanted", values[at])));
    }
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Refuses what is no batch of images.
pub(crate) fn four_dims(dims: &[usize], what: &str) -> Result<()> {
    match dims.len() {
        4 => Ok(()),
        _ => bail!("{what} has shape {dims:?}; N, C, H, W are wanted"),
    }
}

/// Writes tensors as safetensors, whole or not at all: whole numbers as I64, others as F32.
pub(crate) fn write(path: &Path, tensors: &[(String, Tensor)], metadata: &BTreeMap<&str, String>) -> Result<()> {
    let entry = |(name, tensor): &(String, Tensor)| {
        let dtype = if tensor.dtype().is_int() { Dtype::I64 } else { Dtype::F32 };
        Entry { name: name.clone(), dtype, shape: tensor.dims().to_vec() }
    };
    let fail = |error: candle_core::Error| WeightsError::Write { path: path.to_owned(), reason: error.to_string() };
    write_safetensors(path, tensors.iter().map(entry).collect(), metadata, |entry| {
        let tensor = tensors.iter().find(|(name, _)| *name == entry.name).map(|(_, tensor)| tensor);
        Ok(Cow::Owned(tensor.map(bytes).transpose().map_err(fail)?.unwrap_or_default()))
    })?;
    Ok(())
}

/// Elements in row-major, little-endian order.
fn bytes(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    let flat = tensor.flatten_all()?;
    if tensor.dtype().is_int() {
        let values = flat.to_dtype(DType::I64)?.to_vec1::<i64>()?;
        return Ok(values.into_iter().flat_map(i64::to_le_bytes).collect());
    }
    let values = flat.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    Ok(values.into_iter().flat_map(f32::to_le_bytes).collect())
}
