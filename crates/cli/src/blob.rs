//! A real input for a forward pass: an image, a NumPy array, or a tensor file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use detrace_config::Config;
use detrace_detect::{Preprocessor, open_image};

use crate::tensors::{four_dims, read_image};

/// Reads `path` as f32 [N, 3, H, W]: `.npy` and `.safetensors` as they are (a tensor called `image`, or the only one), an
/// image stretched to `size` (height, width) and scaled as the model wants.
pub(crate) fn read(path: &Path, config: &Config, size: Option<(usize, usize)>) -> Result<Tensor> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_lowercase();
    let named = || format!("cannot read {}", path.display());
    let tensor = match extension.as_str() {
        "npy" => npy(path).with_context(named)?,
        "safetensors" => read_image(path, true)?,
        _ => return picture(path, config, size),
    };
    if let Some((height, width)) = size
        && tensor.dims()[2..] != [height, width]
    {
        bail!("{}: it is {:?}, and --input says {height}x{width}; leave --input out", path.display(), tensor.dims());
    }
    Ok(tensor)
}

fn npy(path: &Path) -> Result<Tensor> {
    let length = std::fs::metadata(path)?.len();
    let file = npyz::NpyFile::new(BufReader::new(File::open(path)?))?;
    if file.order() != npyz::Order::C {
        bail!("the array is in Fortran order; save it with numpy.ascontiguousarray");
    }
    let dims = file.shape().iter().map(|&dim| usize::try_from(dim)).collect::<Result<Vec<_>, _>>()?;
    let count = dims.iter().try_fold(1u64, |count, &dim| count.checked_mul(dim as u64));
    // A declared size over the file's is refused before anything is allocated for it.
    if count.and_then(|count| count.checked_mul(4)).is_none_or(|bytes| bytes > length) {
        bail!("it declares shape {dims:?}, more than its {length} bytes hold as f32");
    }
    four_dims(&dims, "the array")?;
    let kind = file.dtype().descr();
    let values: Vec<f32> = file.into_vec().with_context(|| format!("its numbers are {kind}, not '<f4'"))?;
    Ok(Tensor::from_vec(values, dims, &Device::Cpu)?)
}

fn picture(path: &Path, config: &Config, size: Option<(usize, usize)>) -> Result<Tensor> {
    let mut preprocess = config.preprocess.clone();
    if let Some((height, width)) = size {
        preprocess.size = [height, width];
    }
    Ok(Preprocessor::new(&preprocess).tensor(&[open_image(path)?], &Device::Cpu)?)
}
