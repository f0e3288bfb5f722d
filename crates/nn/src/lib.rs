//! Layers that are ordinary candle code and report what they do.
//!
//! A layer takes its path from `vb.prefix()` at construction and runs its arithmetic inside [`Probe::op`], which opens a
//! `tracing` span, runs, and hands typed [`Facts`] to the [`Recorder`] if one is listening. Nobody listening costs a few
//! nanoseconds and no facts are made. Any other `tracing` subscriber sees the same spans.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::VarBuilder;
//! use detrace_nn::{Linear, Recorder};
//!
//! # fn main() -> candle_core::Result<()> {
//! let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
//! let head = Linear::new(4, 2, vb.pp("head"))?;
//! let recorder = Recorder::new();
//! recorder.record(|| head.forward(&Tensor::zeros((1, 4), DType::F32, &Device::Cpu)?))?;
//! let ops = recorder.take()?.ops;
//! assert_eq!((ops[0].path.as_str(), ops[0].output.as_slice()), ("head", &[1, 2][..]));
//! # Ok(()) }
//! ```

mod activation;
mod attention;
mod clock;
mod conv;
mod conv_norm;
mod deformable;
mod engine;
mod facts;
mod linear;
mod maps;
mod mlp;
mod norm;
mod ops;
mod owned;
mod planar;
mod pool;
mod probe;
mod recorder;
mod traced;
mod upsampled;

pub use activation::Activation;
pub use attention::MultiheadAttention;
pub use clock::{Clock, Moment, Stopwatch};
pub use conv::{Conv2d, Conv2dConfig, Residual};
pub use conv_norm::{ConvNorm, ConvNormConfig, Folded};
pub use deformable::{Attended, DeformableAttention, DeformableConfig, Sampler, nearest_pixels};
#[cfg(feature = "cuda")]
pub use detrace_cuda::peak_memory;
pub use detrace_flops::Structure;
pub use facts::Facts;
pub use linear::Linear;
pub use maps::Maps;
pub use mlp::Mlp;
pub use norm::{BatchNorm2d, LayerNorm};
pub use owned::{Owned, declare, owned_by};
pub use pool::{AvgPool2d, MaxPool2d, PoolConfig};
pub use probe::Probe;
pub use recorder::{BLOCK, OP, Recorded, Recorder, RecorderLayer};
pub use traced::{Traced, trace};
pub use upsampled::UpsampledConv;
