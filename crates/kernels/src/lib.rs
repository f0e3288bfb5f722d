//! CPU kernels on plain `f32` slices, one file each. They know nothing of candle; `detrace-nn` wraps them as custom ops.
//!
//! Images are channels-last (N, H, W, C) unless a kernel says otherwise. Every kernel checks its dimensions
//! with assertions: callers in this workspace build them from tensors' own shapes.

#![allow(unsafe_code)] // only this crate and detrace-cuda may; every block says why it is sound

mod act;
mod attention;
mod conv;
mod deformable;
mod depthwise;
mod elementwise;
mod isa;
mod layout;
mod memory;
mod norm;
mod peak;
mod pool;
mod rows;
mod scratch;
mod threads;
mod top_k;
mod vector;
mod window;

pub use act::Act;
pub use attention::Attention;
pub use conv::{Algorithm, Conv, ConvShape, Images, Last, Order};
pub use deformable::{Deformable, Nearest, sample_bilinear, sample_discrete};
pub use depthwise::depthwise_conv2d;
pub use elementwise::{Arithmetic, Operand, elementwise};
pub use isa::{Isa, isa};
pub use layout::{concat_columns, gather_rows, to_channels_last, upsample2x};
pub use memory::{Memory, forget_most_in_use, in_use, keep_at_most, most_in_use, release};
pub use norm::{layer_norm, softmax};
pub use peak::peak;
pub use pool::{avg_pool2d, max_pool2d};
pub use threads::threads;
pub use top_k::top_k;
pub use window::{Plane, Window};
