//! Images from files: PNG and JPEG, turned upright, as RGB bytes.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

use crate::DetectError;

/// Largest decoded image in bytes, 512 MiB: 170 megapixels of 8 bit colours.
const LARGEST: u64 = 512 << 20;

/// Reads an image file as [`decode_image`] does.
///
/// # Errors
/// If there is no such file, or it is not an image that can be read.
pub fn open_image(path: impl AsRef<Path>) -> Result<RgbImage, DetectError> {
    let path = path.as_ref();
    let fail = |reason: String| DetectError::Read { path: path.to_owned(), reason };
    // A pipe or a device could block or never end.
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return Err(fail("it is a folder".into())),
        Ok(meta) if !meta.is_file() => return Err(fail("it is not a regular file".into())),
        Ok(_) => {}
        Err(error) => return Err(fail(error.to_string())),
    }
    let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    decode_image(&bytes).map_err(|error| fail(error.to_string()))
}

/// An image from the bytes of a PNG or JPEG file. What it is, is seen from its content. It is turned upright as its EXIF
/// orientation says; grey becomes three equal channels, transparency is dropped, and of 16 bits the high 8 are taken, as
/// OpenCV and (for colours) Pillow do.
///
/// # Errors
/// If it is neither, is damaged, has no pixels, or takes more than 512 MiB.
pub fn decode_image(bytes: &[u8]) -> Result<RgbImage, DetectError> {
    let fail = |error: image::ImageError| DetectError::Image(error.to_string());
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| DetectError::Image(error.to_string()))?;
    if reader.format().is_none() {
        return Err(DetectError::Image("it is no image (PNG, JPEG)".into()));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(LARGEST);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fail)?;
    if decoder.total_bytes() > LARGEST {
        let (width, height) = decoder.dimensions();
        let fault = format!("{width}x{height} pixels take more than {} MiB; make the image smaller", LARGEST >> 20);
        return Err(DetectError::Image(fault));
    }
    let orientation = decoder.orientation().map_err(fail)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(fail)?;
    image.apply_orientation(orientation);
    if image.width() == 0 || image.height() == 0 {
        return Err(DetectError::Image("it has no pixels".into()));
    }
    Ok(rgb(image))
}

/// The image as RGB bytes.
fn rgb(image: DynamicImage) -> RgbImage {
    use image::ColorType::{L16, La16, Rgb16, Rgba16};
    match image.color() {
        L16 | La16 | Rgb16 | Rgba16 => {
            let deep = image.into_rgb16();
            let high = |value: u16| value.to_be_bytes()[0];
            RgbImage::from_fn(deep.width(), deep.height(), |x, y| image::Rgb(deep.get_pixel(x, y).0.map(high)))
        }
        _ => image.into_rgb8(),
    }
}
