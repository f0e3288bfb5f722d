//! RT-DETR in Rust on candle, with instrumented layers that count FLOPs and parameters while a real forward pass runs.
//!
//! The parts, each a crate of its own: [`config`], [`nn`] (layers and recorder), [`rtdetr`] (the network), [`mod@flops`]
//! (traces and conventions), [`graph`] (the network
//! on paper), [`weights`], [`detect`] (images in, boxes out) and [`report`]. [`flops()`] counts a model as `paddle.flops` does.

mod paddle_flops;

pub use paddle_flops::{FlopsError, flops};

pub use detrace_config as config;
pub use detrace_detect as detect;
pub use detrace_flops as flops;
pub use detrace_graph as graph;
pub use detrace_nn as nn;
pub use detrace_report as report;
pub use detrace_rtdetr as rtdetr;
pub use detrace_weights as weights;
