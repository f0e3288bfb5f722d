//! What an RT-DETR network is made of: a typed [`Config`], the [`zoo`] of published variants, and the checks that make
//! a contradictory configuration an error before anything is built.

mod check;
mod config;
mod error;
pub mod zoo;

pub use check::{ImageSize, MAX_STRIDE};
pub use config::{
    Backbone, Config, Decoder, Encoder, FeedForward, HgNetArch, HgNetStage, Preprocess, Published, Sampling, Version,
};
pub use error::ConfigError;
