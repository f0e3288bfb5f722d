//! RT-DETR ("DETRs Beat YOLOs on Real-time Object Detection", Zhao et al. 2023) and RT-DETRv2 (Lv et al. 2024) as
//! ordinary candle code over the instrumented layers of `detrace-nn`.
//!
//! Paths are the module names of the official PyTorch code (`rtdetrv2_pytorch`), so canonical tensor names are those of
//! its `state_dict`.

mod anchors;
mod backbone;
mod decoder;
mod encoder;
mod fusion;
mod model;
mod position;
mod selection;

pub use model::{Forced, Output, RtDetr, Stages};
pub use selection::Selection;
