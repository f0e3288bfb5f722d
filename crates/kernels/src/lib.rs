//! CPU kernels on plain `f32` slices, one file each. They know nothing of candle; `detrace-nn` wraps them as custom ops.
//!
//! Every kernel takes row-major (NCHW) data and checks its dimensions with assertions: callers in this workspace build
//! them from tensors' own shapes.

mod deformable;
mod depthwise;
mod pool;
mod top_k;
mod window;

pub use deformable::{Deformable, Nearest, sample_bilinear, sample_discrete};
pub use depthwise::depthwise_conv2d;
pub use pool::{avg_pool2d, max_pool2d};
pub use top_k::top_k;
pub use window::{Plane, Window};
