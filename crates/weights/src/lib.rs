//! Checkpoints of RT-DETR: their naming schemes.

pub mod schemes;

pub use schemes::{How, Kind, Mapped, PaddleNames, Scheme, paddle_module};
