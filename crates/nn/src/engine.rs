//! Whose kernels run, and how tensors travel through ours.
//!
//! On the CPU feature maps are channels-last: what a convolution returns is a contiguous [N, H, W, C] tensor seen through
//! a permutation as [N, C, H, W], PyTorch's `channels_last` memory format. So shapes are those of the papers everywhere,
//! and nothing is shuffled between one kernel and the next. `DETRACE_KERNELS=candle` in the environment runs candle's own
//! convolutions, products and norms instead, for comparing.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, DType, Layout, Result, Tensor, bail};
use detrace_kernels::{Plane, release, to_channels_last};
use half::f16;

/// Whether our kernels run on this tensor.
pub(crate) fn is_ours(x: &Tensor) -> bool {
    static CANDLE: OnceLock<bool> = OnceLock::new();
    let candle = *CANDLE.get_or_init(|| std::env::var_os("DETRACE_KERNELS").is_some_and(|word| word == "candle"));
    !candle && x.device().is_cpu() && x.dtype() == DType::F32
}

/// Whether maps like this lie as contiguous [N, C, H, W]: on CUDA, and in f16 everywhere, as candle's convolutions take them.
pub(crate) fn is_planar(x: &Tensor) -> bool {
    x.device().is_cuda() || x.dtype() == DType::F16
}

/// [N, C, H, W] as contiguous [N, H, W, C]; nothing is copied where it already lies so.
pub(crate) fn channels_last(x: &Tensor) -> Result<Tensor> {
    let view = x.permute((0, 2, 3, 1))?;
    match x.is_contiguous() && !view.is_contiguous() && is_ours(x) {
        true => {
            let (batch, channels, height, width) = x.dims4()?;
            let y = with_slice(x, |x| Ok(to_channels_last(x, Plane { batch, channels, height, width })))?;
            Tensor::from_vec(y, (batch, height, width, channels), x.device())
        }
        false => view.contiguous(),
    }
}

/// [N, H, W, C] seen as [N, C, H, W].
pub(crate) fn channels_first(y: &Tensor) -> Result<Tensor> {
    y.permute((0, 3, 1, 2))
}

/// `a + b` of the same shape; channels-last if either is.
pub(crate) fn add_maps(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.rank() == 4 && !(a.is_contiguous() && b.is_contiguous()) {
        return channels_first(&(channels_last(a)? + channels_last(b)?)?);
    }
    a + b
}

/// `f` of each number of a map, wherever it lies.
pub(crate) fn on_map(x: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if x.rank() == 4 && !x.is_contiguous() { channels_first(&f(&channels_last(x)?)?) } else { f(x) }
}

/// The elements of a contiguous f32 tensor.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a kernel was given a tensor that is not contiguous");
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// The elements of a contiguous f32 or f16 tensor as f32.
pub(crate) fn widened<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F16(halves), Some((start, end))) => {
            Ok(halves[start..end].iter().map(|half| half.to_f32()).collect())
        }
        _ => slice(storage, layout).map(Cow::Borrowed),
    }
}

/// Numbers as storage of the type of `like`, f32 or f16.
pub(crate) fn stored_like(like: &CpuStorage, numbers: Vec<f32>) -> CpuStorage {
    match like.dtype() {
        DType::F16 => CpuStorage::F16(numbers.into_iter().map(f16::from_f32).collect()),
        _ => CpuStorage::F32(numbers),
    }
}

/// Calls `body` with the elements of a contiguous f32 tensor on the CPU.
pub(crate) fn with_slice<T>(x: &Tensor, body: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => body(slice(storage, layout)?),
        _ => bail!("a CPU kernel was given a tensor of another device"),
    }
}

/// The same for several tensors.
pub(crate) fn with_slices<T>(tensors: &[Tensor], body: impl FnOnce(&[&[f32]]) -> Result<T>) -> Result<T> {
    let storages: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let slices = storages.iter().map(|(storage, layout)| match &**storage {
        candle_core::Storage::Cpu(storage) => slice(storage, layout),
        _ => bail!("a CPU kernel was given a tensor of another device"),
    });
    body(&slices.collect::<Result<Vec<_>>>()?)
}

/// Weights as they were loaded, until our kernels pack them into a `T`.
#[derive(Debug)]
pub(crate) struct Weights<T>(Arc<State<T>>);

#[derive(Debug)]
struct State<T> {
    source: Mutex<Option<Source>>,
    packed: OnceLock<T>,
}

/// Weight [out, …] and bias \[out\].
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
}

impl<T> Clone for Weights<T> {
    fn clone(&self) -> Weights<T> {
        Weights(Arc::clone(&self.0))
    }
}

impl<T> Weights<T> {
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Weights<T> {
        Weights(Arc::new(State { source: Mutex::new(Some(Source { weight, bias })), packed: OnceLock::new() }))
    }

    /// The weights as loaded; an error after they were packed.
    pub(crate) fn source(&self) -> Result<Source> {
        match &*self.0.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(source) => Ok(source.clone()),
            None => bail!("these weights are packed for the CPU and cannot be used on another device any more"),
        }
    }

    /// The weights packed; the first call packs them and lets go of what was loaded.
    pub(crate) fn packed(&self, pack: impl FnOnce(&[f32], Option<&[f32]>) -> T) -> Result<&T> {
        if let Some(packed) = self.0.packed.get() {
            return Ok(packed);
        }
        let mut source = self.0.source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Source { weight, bias }) = &*source {
            let bias = bias.as_ref().map(|bias| bias.flatten_all()?.to_vec1::<f32>()).transpose()?;
            let packed = with_slice(&weight.contiguous()?, |weight| Ok(pack(weight, bias.as_deref())))?;
            // Nobody else packs while the source is locked.
            let _ = self.0.packed.set(packed);
        }
        release(source.take());
        match self.0.packed.get() {
            Some(packed) => Ok(packed),
            None => bail!("weights were lost while they were packed"),
        }
    }
}
