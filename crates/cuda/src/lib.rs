//! CUDA kernels, one file each in `kernels/`, beside what is known of their launches without a GPU.
//!
//! Maps are N × C × H × W here, not channels-last as on the CPU: candle's convolutions on CUDA (im2col and cuBLAS, or
//! cuDNN) take and give that, and a kernel that turned them around would cost more than it saves. Maps are f32 or f16, sums f32.
//!
//! Grids and parameters are made by [`Launch`], which every build has and tests. The kernels themselves are
//! compiled by nvcc and launched with the feature `cuda` only. `tests/emulation.rs` runs their sources on the CPU.

#![allow(unsafe_code)] // launches and uninitialised results, each with why it is sound

mod launch;
#[cfg(feature = "cuda")]
mod run;

pub use launch::{Kernel, Launch, LaunchError, Number, Sampling};
#[cfg(feature = "cuda")]
pub use run::{Pool, Source, bias_act, depthwise, peak_memory, pool, sample, top_k};
