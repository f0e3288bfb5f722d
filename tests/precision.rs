//! `--dtype f16` and `--check f32`: how far f16 is from f32, and what is refused.

#![allow(clippy::print_stdout)] // figures for `--nocapture`

mod common;

use candle_core::{Device, Tensor};
use common::checkpoint::{Folder, needed, seeded};
use common::{done, refused};
use detrace::weights::seeded_image;
use serde_json::Value;

const SMALL: [&str; 8] = ["--input", "1x3x224x224", "--warmup", "0", "--iters", "1", "--format", "json"];

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The bounds are two to five times what it printed when this was written (`cargo test --test precision -- --nocapture`).
fn agrees(check: &Value, what: &str) {
    println!("{what}: {check}");
    assert!(number(&check["top100"]) >= 0.97, "{what}: {check}");
    assert!(number(&check["selected"]) >= 0.95, "{what}: {check}");
    // No more than none: a check of f32 with itself would pass as well.
    assert!((1e-5..0.05).contains(&number(&check["logits"])), "{what}: {check}");
    assert!((1e-7..0.005).contains(&number(&check["boxes"])), "{what}: {check}");
}

#[test]
fn half_precision_is_near_single_in_every_structure() {
    for structure in ["fast", "deploy", "train"] {
        let more = ["bench", "rtdetr_r18vd", "--structure", structure, "--dtype", "f16", "--check", "f32"];
        let report: Value = serde_json::from_str(&done(&[&more[..], &SMALL].concat())).expect("JSON");
        assert_eq!((&report["dtype"], &report["tf32"]), (&"f16".into(), &false.into()));
        agrees(&report["check"], structure);
    }
}

/// `run` writes it into the metadata, `detect` into its JSON, and both say it.
#[test]
fn run_and_detect_tell_it_as_well() {
    let folder = Folder::new();
    let (weights, input, output) =
        (folder.file("w.safetensors"), folder.file("i.safetensors"), folder.file("o.safetensors"));
    seeded(&weights, &needed("rtdetr_r18vd", 80), 0);
    let image: Tensor = seeded_image(&[1, 3, 224, 224], 0, &Device::Cpu).expect("an image");
    candle_core::safetensors::save(&[("image", image)].into(), &input).expect("written");
    let precision = ["--dtype", "f16", "--check", "f32"];
    let run = ["run", "rtdetr_r18vd", "--weights", &weights, "--input", &input, "--output", &output, "--stages"];
    let said = done(&[&run[..], &precision].concat());
    assert!(said.contains("\nagainst f32: 9") && said.contains("of the 100 surest detections agree"), "{said}");
    let bytes = std::fs::read(&output).expect("written");
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("safetensors");
    let metadata = header.metadata().clone().expect("metadata");
    assert_eq!(metadata["dtype"], "f16");
    agrees(&serde_json::from_str(&metadata["check"]).expect("JSON"), "run");

    let config = folder.file("preprocess.yaml");
    let text =
        std::fs::read_to_string(format!("{}/models/rtdetr_r18vd.yaml", env!("CARGO_MANIFEST_DIR"))).expect("a model");
    std::fs::write(&config, text).expect("written");
    for name in ["a.png", "b.png"] {
        image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * 6) as u8, (y * 8) as u8, (x * y) as u8]))
            .save(folder.file(name))
            .expect("a picture");
    }
    let pictures = [folder.file("a.png"), folder.file("b.png")];
    let detect = ["detect", &config, "--weights", &weights, &pictures[0], &pictures[1], "--format", "json"];
    let report: Value = serde_json::from_str(&done(&[&detect[..], &precision].concat())).expect("JSON");
    assert_eq!((&report["dtype"], &report["check"]["images"]), (&"f16".into(), &2.into()));
    agrees(&report["check"], "detect");
}

#[test]
fn what_cannot_be_is_refused_with_its_cure() {
    for (more, parts) in [
        (&["--tf32"][..], &["only GPUs have TF32", "--device cuda"][..]),
        (&["--tf32", "--device", "auto"], &["only GPUs have TF32", "--device cuda"]),
        (&["--tf32", "--dtype", "f16"], &["--tf32 --dtype f16", "leave one out"]),
        (&["--check", "f32"], &["nothing to compare", "--dtype f16 or --tf32"]),
        (&["--dtype", "bf16"], &["bf16", "f32, f16"]),
        (&["--dtype", "f16", "--check", "f64"], &["f64", "f32"]),
    ] {
        refused(&[&["bench", "rtdetr_r18vd"], more].concat(), parts);
    }
}
