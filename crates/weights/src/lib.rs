//! Where a network's tensors come from: a seed ([`Seeded`]), and the names that each framework gives them ([`schemes`]).

pub mod schemes;
mod seeded;

pub use schemes::{How, Kind, Mapped, PaddleNames, Scheme, paddle_module};
pub use seeded::{Seeded, seeded_image, seeded_values, seeded_word};
