//! RT-DETR as a detector: an image is read ([`open_image`]), stretched and scaled as the model was trained
//! ([`Preprocessor`]), run, and what the network says becomes boxes in the image's pixels ([`postprocess`]).

mod detector;
mod draw;
mod error;
mod files;
mod labels;
mod picture;
mod postprocess;
mod preprocess;
mod resize;

pub use detector::Detector;
pub use draw::draw;
pub use error::DetectError;
pub use files::ModelFiles;
pub use image::RgbImage;
pub use labels::Labels;
pub use picture::{decode_image, open_image};
pub use postprocess::{Detection, postprocess};
pub use preprocess::Preprocessor;
pub use resize::stretch;
