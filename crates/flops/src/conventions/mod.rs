//! The conventions, one file each. A new one is a file and a line in [`ALL`].

mod calflops;
mod deepspeed;
mod formulas;
mod full;
mod fvcore;
mod paddle;
mod paddle_static;
mod ptflops;
mod ptflops_aten;
mod thop;
mod torch_flop_counter;
mod torch_profiler;
mod torchinfo;
mod ultralytics_thop;

pub use calflops::CALFLOPS;
pub use deepspeed::DEEPSPEED;
pub use full::{FULL, full_work};
pub use fvcore::FVCORE;
pub use paddle::PADDLE;
pub use paddle_static::PADDLE_STATIC;
pub use ptflops::PTFLOPS;
pub use ptflops_aten::PTFLOPS_ATEN;
pub use thop::THOP;
pub use torch_flop_counter::TORCH_FLOP_COUNTER;
pub use torch_profiler::TORCH_PROFILER;
pub use torchinfo::TORCHINFO;
pub use ultralytics_thop::ULTRALYTICS_THOP;

use crate::Convention;

/// Every convention, the default first.
pub const ALL: &[&Convention] = &[
    &FULL,
    &PADDLE,
    &PADDLE_STATIC,
    &FVCORE,
    &THOP,
    &ULTRALYTICS_THOP,
    &PTFLOPS,
    &PTFLOPS_ATEN,
    &CALFLOPS,
    &DEEPSPEED,
    &TORCH_FLOP_COUNTER,
    &TORCH_PROFILER,
    &TORCHINFO,
];
