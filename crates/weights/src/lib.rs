//! Checkpoints of RT-DETR: what kind of file they are ([`sources`]), whose names they use ([`schemes`]), and a strict
//! check that they fit a model ([`load`]). No tensor library is needed: tensors are bytes with a type and a shape.
//!
//! ```no_run
//! use detrace_weights::{Checkpoint, Scheme, Weights};
//!
//! # fn main() -> Result<(), detrace_weights::WeightsError> {
//! let checkpoint = Checkpoint::open("rtdetr_r50vd_6x_coco.pdparams")?;
//! let weights = Weights::all(checkpoint, false)?;
//! let kernel: Vec<f32> = weights.tensor("backbone.conv1.conv1_1.conv.weight")?.to_f32();
//! weights.save("rtdetr_r50vd.safetensors", Scheme::Canonical, "rtdetr_r50vd")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Files from strangers
//! A pickle is a program; ours is read by a reader that builds data only, knows a short list of names, and refuses a
//! file that asks for any other. Opening a checkpoint costs at most 200 MiB of memory beside the file's map, whatever
//! the file says, and reading a tensor costs no more than the tensor, its storage and, where it is packed in a zip
//! archive, the storage again. All tensors together are at most four times the file and 16 MiB.

mod error;
pub mod load;
mod save;
pub mod schemes;
mod seeded;
pub mod sources;
mod write;

pub use error::WeightsError;
pub use load::{Change, DENOISING, Report, Tensor, Weights};
pub use schemes::{How, Kind, Mapped, PaddleNames, Scheme, paddle_module};
pub use seeded::{Seeded, seeded_image, seeded_values, seeded_word};
pub use sources::{Checkpoint, Dtype, Format, Info};
pub use write::{Entry, write_safetensors};
