//! The conventions, one file each. A new one is a file and a line in [`ALL`].

mod full;
mod paddle;

pub use full::FULL;
pub use paddle::PADDLE;

use crate::Convention;

/// Every convention, the default first.
pub const ALL: &[&Convention] = &[&FULL, &PADDLE];
