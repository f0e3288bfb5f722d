//! Launches on candle's storage. Sizes are checked here, so that a kernel never reads beyond its arrays.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{CudaView, DeviceRepr, LaunchArgs, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorage, WrapErr};
use candle_core::{DType, Error, Layout, Result, bail};
use detrace_kernels::{Act, Deformable, Plane, Window};
use half::f16;

use crate::{Launch, LaunchError, Number, Sampling};

/// A tensor's storage and what of it the tensor is, which must be contiguous.
pub type Source<'a> = (&'a CudaStorage, &'a Layout);

/// The parameter struct of a kernel.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Words<const WORDS: usize>([u32; WORDS]);

// SAFETY: a kernel's parameter struct has u32 fields only, in this order, so it lies in memory as this array does.
unsafe impl<const WORDS: usize> DeviceRepr for Words<WORDS> {}

/// The elements of a source.
enum View<'a> {
    F32(CudaView<'a, f32>),
    F16(CudaView<'a, f16>),
    U32(CudaView<'a, u32>),
}

impl View<'_> {
    fn push<'a>(&'a self, to: &mut LaunchArgs<'a>) {
        match self {
            View::F32(view) => to.arg(view),
            View::F16(view) => to.arg(view),
            View::U32(view) => to.arg(view),
        };
    }
}

/// As many numbers as `count`, of that type.
fn numbers(number: Number, (storage, layout): Source<'_>, count: usize) -> Result<View<'_>> {
    let (start, end) = range(layout, count)?;
    Ok(match number {
        Number::F32 => View::F32(storage.as_cuda_slice::<f32>()?.slice(start..end)),
        Number::F16 => View::F16(storage.as_cuda_slice::<f16>()?.slice(start..end)),
    })
}

/// What a source is made of.
fn number((storage, _): Source<'_>) -> Result<Number> {
    match storage.dtype() {
        DType::F32 => Ok(Number::F32),
        DType::F16 => Ok(Number::F16),
        other => bail!("CUDA kernels take f32 and f16, not {other:?}"),
    }
}

fn range(layout: &Layout, count: usize) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some((start, end)) if end - start == count => Ok((start, end)),
        Some((start, end)) => bail!("a kernel was given {} numbers, not {count}", end - start),
        None => bail!("a kernel was given a tensor that is not contiguous"),
    }
}

fn ptx(file: &str) -> Result<&'static str> {
    macro_rules! embedded {
        ($($name:literal)*) => {
            match file {
                $($name => Ok(include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx"))),)*
                _ => bail!("there is no CUDA kernel {file}"),
            }
        };
    }
    embedded!("bias_act" "deformable" "depthwise" "pool" "top_k")
}

/// Launches a kernel on `inputs`; its result is numbers of that type.
fn numeric<const WORDS: usize>(
    number: Number,
    launch: std::result::Result<Launch<WORDS>, LaunchError>,
    on: &CudaStorage,
    inputs: &[View<'_>],
) -> Result<CudaStorage> {
    match number {
        Number::F32 => run::<f32, WORDS>(launch, on, inputs),
        Number::F16 => run::<f16, WORDS>(launch, on, inputs),
    }
}

/// Launches a kernel on `inputs`; its result is as long as the launch says.
fn run<T: CudaDType + DeviceRepr, const WORDS: usize>(
    launch: std::result::Result<Launch<WORDS>, LaunchError>,
    on: &CudaStorage,
    inputs: &[View<'_>],
) -> Result<CudaStorage> {
    let Launch { kernel, blocks, threads, words, elements } = launch.map_err(Error::wrap)?;
    if elements == 0 {
        bail!("the CUDA kernel {} has nothing to compute", kernel.function);
    }
    let device = on.device();
    let function =
        device.get_or_load_custom_func(kernel.function, &format!("detrace_{}", kernel.file), ptx(kernel.file)?)?;
    // SAFETY: the kernel writes every element; tests/emulation.rs runs it.
    let output = unsafe { device.alloc::<T>(elements)? };
    let words = Words(words);
    let mut builder = function.builder();
    for input in inputs {
        input.push(&mut builder);
    }
    builder.arg(&output);
    builder.arg(&words);
    let grid = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: arrays are as long as the parameters say and arguments are in the order of the kernel's.
    unsafe { builder.launch(grid) }.w()?;
    Ok(CudaStorage::wrap_cuda_slice(output, device.clone()))
}

/// Which pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Maximum.
    Max,
    /// Mean of what is inside.
    Mean,
}

/// A pool on N × C × H × W.
pub fn pool(x: Source<'_>, plane: Plane, window: Window, pool: Pool) -> Result<CudaStorage> {
    let number = number(x)?;
    let launch = match pool {
        Pool::Max => Launch::max_pool(number, plane, window),
        Pool::Mean => Launch::avg_pool(number, plane, window),
    };
    numeric(number, launch, x.0, &[numbers(number, x, plane.numel())?])
}

/// A depthwise convolution on N × C × H × W with weights C × kh × kw and a bias for each channel.
pub fn depthwise([x, weight, bias]: [Source<'_>; 3], plane: Plane, window: Window, act: Act) -> Result<CudaStorage> {
    let (number, taps) = (number(x)?, window.kernel[0] * window.kernel[1]);
    let [x_view, weight, bias] = [(x, plane.numel()), (weight, plane.channels * taps), (bias, plane.channels)]
        .map(|(x, n)| numbers(number, x, n));
    numeric(number, Launch::depthwise(number, plane, window, act), x.0, &[x_view?, weight?, bias?])
}

/// A bias for each channel and an activation on N × C × H × W.
pub fn bias_act(x: Source<'_>, bias: Source<'_>, plane: Plane, act: Act) -> Result<CudaStorage> {
    let number = number(x)?;
    let launch = Launch::bias_act(number, [plane.batch, plane.channels, plane.height * plane.width], act);
    let inputs = [numbers(number, x, plane.numel())?, numbers(number, bias, plane.channels)?];
    numeric(number, launch, x.0, &inputs)
}

/// Deformable sampling; `read` are locations (f32), or pixels (u32) for [`Sampling::Pixels`], weights are f32.
pub fn sample(shape: &Deformable, sampling: Sampling, [value, read, weights]: [Source<'_>; 3]) -> Result<CudaStorage> {
    let number = number(value)?;
    let points = shape.batch * shape.queries * shape.heads * shape.total_points();
    let read = match sampling {
        Sampling::Bilinear | Sampling::Discrete => numbers(Number::F32, read, 2 * points)?,
        Sampling::Pixels => {
            let (start, end) = range(read.1, 2 * points)?;
            View::U32(read.0.as_cuda_slice::<u32>()?.slice(start..end))
        }
    };
    let values = shape.batch * shape.tokens() * shape.heads * shape.channels;
    let inputs = [numbers(number, value, values)?, read, numbers(Number::F32, weights, points)?];
    numeric(number, Launch::sample(number, shape, sampling), value.0, &inputs)
}

/// Indices of the `k` best of each row of scores (f32), rows × k.
pub fn top_k(scores: Source<'_>, rows: usize, columns: usize, k: usize) -> Result<CudaStorage> {
    run::<u32, _>(Launch::top_k(rows, columns, k), scores.0, &[numbers(Number::F32, scores, rows * columns)?])
}

/// The most bytes that tensors had on the GPU so far, by the driver's pool that they are taken from; none where it has no pools.
pub fn peak_memory(device: &CudaDevice) -> Option<u64> {
    use candle_core::cuda_backend::cudarc::driver::sys;
    let (stream, mut pool, mut bytes) = (device.cuda_stream(), std::ptr::null_mut(), 0_u64);
    // SAFETY: the device is one that the driver gave, and the pool is written before it is read.
    let got = unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, stream.context().cu_device()) };
    if got != sys::CUresult::CUDA_SUCCESS {
        return None;
    }
    let high = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: this attribute is 64 bit wide (CUDA driver API, CUmemPool_attribute).
    let got = unsafe { sys::cuMemPoolGetAttribute(pool, high, (&raw mut bytes).cast()) };
    (got == sys::CUresult::CUDA_SUCCESS && bytes > 0).then_some(bytes)
}
