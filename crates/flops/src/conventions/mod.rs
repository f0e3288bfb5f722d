//! The conventions, one file each. A new one is a file and a line in [`ALL`].

mod full;
mod paddle;
mod paddle_static;

pub use full::FULL;
pub use paddle::PADDLE;
pub use paddle_static::PADDLE_STATIC;

use crate::Convention;

/// Every convention, the default first.
pub const ALL: &[&Convention] = &[&FULL, &PADDLE, &PADDLE_STATIC];
