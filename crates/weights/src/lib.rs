//! Where a network's tensors come from: a seed ([`Seeded`]), or a checkpoint under any framework's names ([`schemes`]).

mod error;
pub mod load;
mod save;
pub mod schemes;
mod seeded;
pub mod sources;

pub use error::WeightsError;
pub use load::{Change, Report, Tensor, Weights};
pub use schemes::{How, Kind, Mapped, PaddleNames, Scheme, paddle_module};
pub use seeded::{Seeded, seeded_image, seeded_values, seeded_word};
pub use sources::{Checkpoint, Dtype, Format, Info};
