//! Networks without tensors: [`plan`] lists what an RT-DETR does, on paper, from its
//! [`Config`](detrace_config::Config) and the shape of its input, by integer arithmetic on shapes alone.
//!
//! It shares no forward code with the network that runs (`detrace-rtdetr` over `detrace-nn`), so a mistake in either shows
//! when the two are compared operation by operation. Nothing here knows candle, and nothing needs weights.
//!
//! ```
//! use detrace_flops::Structure;
//!
//! let config = detrace_config::zoo::get("rtdetr_r18vd").expect("a variant").expect("it is whole");
//! let trace = detrace_graph::plan(&config, Structure::Train, [1, 3, 640, 640]).expect("it takes that size");
//! assert_eq!(trace.ops[0].output, [1, 32, 320, 320]);
//! ```

pub mod import;
mod plan;

pub use plan::{PlanError, plan};
