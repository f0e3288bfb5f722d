//! Decoding and stretching against what Pillow, torchvision and OpenCV give; `weights-scripts/make_pictures.py` makes the
//! reference values.

use std::path::PathBuf;

use candle_core::Device;
use detrace_config::{Preprocess, Resize};
use detrace_detect::{Preprocessor, RgbImage, decode_image, open_image, stretch};
use safetensors::SafeTensors;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Largest difference of two images.
fn difference(ours: &RgbImage, height: usize, width: usize, theirs: &[u8]) -> u8 {
    assert_eq!((ours.height() as usize, ours.width() as usize), (height, width));
    assert_eq!(ours.as_raw().len(), theirs.len());
    ours.as_raw().iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// Pictures without loss are equal. Of JPEG the standard leaves rounding free, and decoders differ in how they smooth
/// subsampled colours.
#[test]
fn pictures_are_decoded_as_pillow_does() {
    let bytes = std::fs::read(data("decoded.safetensors")).expect("the reference");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    assert_eq!(file.len(), 22);
    let mut far = Vec::new();
    for (name, theirs) in file.tensors() {
        let ours = open_image(data(&name)).expect(&name);
        let worst = difference(&ours, theirs.shape()[0], theirs.shape()[1], theirs.data());
        let allowed = match name.as_str() {
            name if name.ends_with(".png") => 0,
            "subsampled.jpg" => 40,
            _ => 3,
        };
        if worst > allowed {
            far.push(name);
        }
    }
    assert!(far.is_empty(), "{far:?}");
}

#[test]
fn images_are_stretched_as_the_libraries_do() {
    let bytes = std::fs::read(data("resized.safetensors")).expect("the reference");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let (mut done, mut far) = (0, Vec::new());
    for (name, theirs) in file.tensors() {
        let parts: Vec<&str> = name.split('/').collect();
        let image = open_image(data(&format!("{}.png", parts[0]))).expect("a picture");
        let how = *Resize::ALL.iter().find(|how| how.name() == parts[1]).expect("a way");
        let (height, width) = (theirs.shape()[0], theirs.shape()[1]);
        let worst = difference(&stretch(&image, [height, width], how), height, width, theirs.data());
        if worst > 0 {
            far.push(name);
        }
        done += 1;
    }
    assert!(far.is_empty(), "{far:?}");
    assert_eq!(done, 7 * Resize::ALL.len());
}

/// Each channel is scaled and normalised on its own, and channels come one after another.
#[test]
fn bytes_become_numbers_as_the_configuration_says() {
    let image = RgbImage::from_fn(64, 32, |x, y| image::Rgb([x as u8, y as u8, (x + y) as u8]));
    let preprocess =
        Preprocess { size: [32, 64], scale: 0.5, mean: [1.0, 2.0, 3.0], std: [2.0, 4.0, 8.0], ..Preprocess::default() };
    let tensor = Preprocessor::new(&preprocess).tensor(&[image.clone(), image], &Device::Cpu).expect("a tensor");
    assert_eq!(tensor.dims(), [2, 3, 32, 64]);
    for batch in 0..2 {
        let batch = tensor.get(batch).and_then(|image| image.to_vec3::<f32>()).expect("f32");
        for (y, x) in [(0, 0), (5, 60), (31, 63)] {
            let value =
                |byte: usize, channel: usize| (byte as f32 * 0.5 - [1.0, 2.0, 3.0][channel]) / [2.0, 4.0, 8.0][channel];
            assert_eq!([batch[0][y][x], batch[1][y][x], batch[2][y][x]], [value(x, 0), value(y, 1), value(x + y, 2)]);
        }
    }
    let scaled = Preprocessor::new(&Preprocess { size: [32, 32], ..Preprocess::default() });
    let white = RgbImage::from_pixel(7, 5, image::Rgb([255, 0, 51]));
    let values: Vec<f32> =
        scaled.tensor(&[white], &Device::Cpu).and_then(|tensor| tensor.flatten_all()?.to_vec1()).expect("f32");
    assert_eq!((values[0], values[1024], values[2048]), (1.0, 0.0, 0.2));
    assert!(scaled.tensor(&[], &Device::Cpu).is_err() && scaled.tensor(&[RgbImage::new(0, 3)], &Device::Cpu).is_err());
}

#[test]
fn what_is_no_image_is_refused() {
    let refused = |path: PathBuf| open_image(path).expect_err("no image").to_string();
    assert!(refused(data("none.png")).contains("none.png"));
    assert!(refused(data("")).contains("it is a folder"));
    assert!(refused(data("decoded.safetensors")).contains("no image (PNG, JPEG)"));
    assert!(decode_image(b"").is_err());
    for name in ["odd.png", "rgb.jpg", "subsampled.jpg", "progressive.jpg", "turned_6.jpg"] {
        let bytes = std::fs::read(data(name)).expect("a picture");
        for tenth in 1..10 {
            assert!(decode_image(&bytes[..bytes.len() * tenth / 10]).is_err(), "{name}, {tenth} tenths of it");
        }
        // What comes after the image does not matter.
        assert!(decode_image(&[&bytes, &b"more\xff"[..]].concat()).is_ok(), "{name}");
    }
    // A header that promises 3 * 60000 * 60000 bytes.
    let mut bomb = std::fs::read(data("odd.png")).expect("a picture");
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let crc = bomb[12..29].iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    bomb[29..33].copy_from_slice(&(!crc).to_be_bytes());
    let message = decode_image(&bomb).expect_err("too large").to_string();
    assert!(message.contains("60000x60000 pixels take more than 512 MiB"), "{message}");
}
