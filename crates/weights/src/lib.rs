//! Where a network's tensors come from.

mod seeded;

pub use seeded::{Seeded, seeded_image, seeded_values, seeded_word};
