//! Stretching images to the network's size, byte for byte as the libraries do that models were trained with.

mod antialias;
mod opencv;

use detrace_config::Resize;
use image::RgbImage;

use antialias::{Filter, Rounding};

/// The image stretched to `size`, height and width. The aspect ratio is not kept.
pub fn stretch(image: &RgbImage, size: [usize; 2], how: Resize) -> RgbImage {
    let source = Plane { height: image.height() as usize, width: image.width() as usize, bytes: image.as_raw() };
    let bytes = if [source.height, source.width] == size {
        source.bytes.to_vec()
    } else {
        match how {
            Resize::PilBilinear => antialias::resize(&source, size, Filter::Triangle, Rounding::Pillow),
            Resize::PilBicubic => antialias::resize(&source, size, Filter::Cubic, Rounding::Pillow),
            Resize::TorchvisionBilinear => antialias::resize(&source, size, Filter::Triangle, Rounding::Torch),
            Resize::TorchvisionBicubic => antialias::resize(&source, size, Filter::Cubic, Rounding::Torch),
            Resize::OpencvBilinear => opencv::linear(&source, size),
            Resize::OpencvBicubic => opencv::cubic(&source, size),
        }
    };
    let [height, width] = size.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    RgbImage::from_raw(width, height, bytes).unwrap_or_default()
}

/// Channels of a pixel.
const RGB: usize = 3;

/// An image's bytes: rows of pixels of three channels.
struct Plane<'a> {
    height: usize,
    width: usize,
    bytes: &'a [u8],
}

impl Plane<'_> {
    /// One row.
    fn row(&self, y: usize) -> &[u8] {
        &self.bytes[y * self.width * RGB..][..self.width * RGB]
    }
}
