//! Finds objects in an image with a model's folder: `cargo run --release --example detect -- MODEL_DIR IMAGE`.

#![allow(clippy::print_stdout)]

use detrace::detect::{Detector, open_image};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(model), Some(image)) = (args.next(), args.next()) else {
        return Err("MODEL_DIR IMAGE are wanted".into());
    };
    let detector = Detector::from_dir(model)?;
    let image = open_image(image)?;
    for found in detector.detect(&image)? {
        println!("{} {:.3} {:?}", found.label, found.score, found.bbox);
    }
    Ok(())
}
