//! Our own reader of Python pickles, protocol 2 to 5. It builds data and nothing else: names are looked up in a list
//! ([`globals`]) and never resolved, calls are noted and never made.
//!
//! Memory: a pickle takes at most [`BYTES_PER_INSTRUCTION`] for each of its instructions, of which it may have
//! [`MAX_INSTRUCTIONS`]; text and bytes are not copied. So a pickle costs at most 200 bytes for each byte of the file,
//! and 100 MiB whatever its size.

mod cursor;
pub(crate) mod globals;
mod machine;
pub(crate) mod value;

pub(crate) use machine::read;

/// Instructions of a pickle. A checkpoint with its optimizer has about 50 for each tensor, and some 4,000 tensors.
pub(crate) const MAX_INSTRUCTIONS: usize = 1 << 19;

/// What one instruction can cost: a container and its place on the stack, or an entry in the memo, with the room that
/// growing lists keep ready.
#[allow(dead_code)] // documents the bound that tests/memory.rs measures
pub(crate) const BYTES_PER_INSTRUCTION: usize = 200;

/// How deep containers may lie in each other. Checkpoints need about ten levels.
pub(crate) const MAX_DEPTH: u32 = 100;

/// Values that a container may hold, counted as often as they are reachable.
pub(crate) const MAX_EXPANDED: u32 = 1 << 24;
