//! Graph files: from what exporters write to a [`Trace`](detrace_flops::Trace).

mod error;
pub mod ir;
pub mod paddle;

pub use error::ImportError;
