//! Checkpoints of RT-DETR: their naming schemes.

mod error;
pub mod load;
mod save;
pub mod schemes;
pub mod sources;

pub use error::WeightsError;
pub use load::{Change, Report, Tensor, Weights};
pub use schemes::{How, Kind, Mapped, PaddleNames, Scheme, paddle_module};
pub use sources::{Checkpoint, Dtype, Format, Info};
