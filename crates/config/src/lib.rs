//! What an RT-DETR network is made of: a typed [`Config`], the [`zoo`] of published variants, readers for users' own
//! files ([`Loaded`]), and the checks that make a contradictory configuration an error before anything is built.

mod check;
mod config;
mod error;
mod hf;
mod load;
mod nearest;
mod needed;
mod node;
mod paddle;
mod section;
mod source;
pub mod zoo;

pub use check::{ImageSize, MAX_STRIDE};
pub use config::{
    Backbone, Config, Decoder, Encoder, FeedForward, HgNetArch, HgNetStage, Preprocess, Published, Resize, Sampling,
    Version,
};
pub use error::ConfigError;
pub use load::Loaded;
pub use needed::Needed;
