//! Images from files: PNG and JPEG, turned upright, as RGB bytes.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

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
/// If it is neither, is damaged or cut off, has no pixels, or takes more than 512 MiB.
pub fn decode_image(bytes: &[u8]) -> Result<RgbImage, DetectError> {
    let fail = |error: image::ImageError| DetectError::Image(error.to_string());
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| DetectError::Image(error.to_string()))?;
    if reader.format().is_none() {
        return Err(DetectError::Image("it is no image (PNG, JPEG)".into()));
    }
    if reader.format() == Some(ImageFormat::Jpeg) && jpeg_end(bytes).is_none() {
        // The decoder would leave the rest grey and say nothing.
        return Err(DetectError::Image("the JPEG is cut off: it has no end-of-image marker".into()));
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

/// Walks a JPEG's markers to the one that ends the image, EOI (ITU-T T.81, B.1.1). Pixels between markers are skipped: in
/// them 0xFF is followed by 0 or is a restart marker.
fn jpeg_end(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(2..)?;
    loop {
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0x01 | 0xd0..=0xd8 | 0xff);
        let at = rest.windows(2).position(is_marker)?;
        if rest[at + 1] == 0xd9 {
            return Some(());
        }
        rest = &rest[at + 2..];
        let length = rest.first_chunk().map(|&length| usize::from(u16::from_be_bytes(length)))?;
        rest = rest.get(length..)?;
    }
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
