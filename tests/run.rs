//! `detrace run` as a user meets it: its answers against the official networks', its errors.

mod common;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use common::checkpoint::{Folder, hollow, needed, paddle, seeded};
use common::fixture::{Fixture, difference};
use common::{detrace, done, refused, text};
use detrace::weights::seeded_image;

fn save(path: &str, name: &str, tensor: &Tensor) {
    candle_core::safetensors::save(&HashMap::from([(name, tensor.clone())]), path).expect("written");
}

fn load(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).expect("tensors")
}

/// Queries in the order of the fixture: tokens of nearly the same score may have changed places.
fn in_order(ours: &HashMap<String, Tensor>, reference: &Fixture, name: &str) -> Tensor {
    let rows = |tensor: &Tensor| tensor.to_dtype(DType::I64).and_then(|t| t.get(0)?.to_vec1::<i64>()).expect("tokens");
    let (selected, wanted) = (rows(&ours["topk"]), rows(&reference.tensors["topk"]));
    let place = |token: &i64| selected.iter().position(|ours| ours == token).expect("the same tokens") as u32;
    let order: Vec<u32> = wanted.iter().map(place).collect();
    let order = Tensor::new(order, &Device::Cpu).expect("an order");
    ours[name].index_select(&order, 1).expect("queries")
}

/// The answers on a checkpoint against the official network's.
fn equals_the_original(model: &str, weights: &str, folder: &Folder, reference: &Fixture) {
    let (input, output) = (folder.file("image.safetensors"), folder.file("answers.safetensors"));
    save(&input, "image", &seeded_image(&[1, 3, 640, 640], reference.seed(), &Device::Cpu).expect("an image"));
    done(&["run", model, "--weights", weights, "--input", &input, "--output", &output, "--stages"]);
    let ours = load(&output);
    for name in ["backbone.0", "backbone.1", "backbone.2", "encoder.0", "encoder.1", "encoder.2", "memory", "scores"] {
        let error = reference.error(name, &ours[name]);
        assert!(error <= 1e-4, "{model}: {name}: {error}");
    }
    let (classes, scores) = (&ours["class_logits"], &ours["scores"]);
    assert_eq!(classes.dims(), [1, 8400, 80]);
    assert_eq!(difference(&classes.max(2).expect("the highest"), scores), 0.0, "{model}: not the logits of the scores");
    let every_eighth = Tensor::arange_step(0u32, 80, 8, &Device::Cpu).expect("classes");
    let logits = in_order(&ours, reference, "logits").index_select(&every_eighth, 2).expect("classes");
    let error = difference(&logits, &reference.tensors["logits"]);
    assert!(error <= 1e-3, "{model}: logits: {error}");
    let error = difference(&in_order(&ours, reference, "boxes"), &reference.tensors["boxes"]);
    assert!(error <= 1e-4, "{model}: boxes: {error}");
    assert_eq!((ours["content"].dims(), ours["reference"].dims()), (&[1, 300, 256][..], &[1, 300, 4][..]));
}

/// The seeded weights as the three schemes that are written and as Paddle's, converted by the program.
#[test]
fn answers_are_those_of_the_official_network_in_every_format() {
    let folder = Folder::new();
    let reference = Fixture::read("rtdetr_r18vd");
    let tensors = needed("rtdetr_r18vd", 80);
    let pdparams = folder.file("w.pdparams");
    paddle(&pdparams, &tensors, reference.seed());
    equals_the_original("rtdetr_r18vd", &pdparams, &folder, &reference);
    let bytes = |path: &str| std::fs::read(path).expect("there");
    let wanted = bytes(&folder.file("answers.safetensors"));
    for scheme in ["canonical", "torch", "hf"] {
        let weights = folder.file(&format!("{scheme}.safetensors"));
        done(&["convert", &pdparams, &weights, "--to", scheme]);
        let (input, output) = (folder.file("image.safetensors"), folder.file("again.safetensors"));
        done(&["run", "rtdetr_r18vd", "--weights", &weights, "--input", &input, "--output", &output, "--stages"]);
        assert!(bytes(&output) == wanted, "{scheme}: not the same bits");
    }
}

#[test]
fn answers_of_other_models_are_those_of_the_official_networks() {
    for model in ["rtdetrv2_r18vd", "rtdetr_hgnetv2_l"] {
        let folder = Folder::new();
        let reference = Fixture::read(model);
        let weights = folder.file("w.safetensors");
        seeded(&weights, &needed(model, 80), reference.seed());
        equals_the_original(model, &weights, &folder, &reference);
    }
}

/// Without --stages the output holds the answers alone; a batch and another shape are taken.
#[test]
fn the_output_holds_logits_and_boxes() {
    let folder = Folder::new();
    let (weights, input, output) =
        (folder.file("w.safetensors"), folder.file("i.safetensors"), folder.file("o.safetensors"));
    seeded(&weights, &needed("rtdetr_r18vd", 20), 1);
    save(&input, "image", &seeded_image(&[2, 3, 256, 320], 1, &Device::Cpu).expect("an image"));
    let run = |more: &[&str]| {
        let args = ["run", "rtdetr_r18vd", "--weights", &weights, "--input", &input, "--output", &output];
        detrace(&[&args, more].concat())
    };
    let refusal = run(&[]);
    let message = text(&refusal.stderr);
    assert_eq!(refusal.status.code(), Some(2), "{message}");
    for part in ["of 20 classes and the model of 80", "`classes: 20`", "--classes 20", "classes: 20 in the checkpoint"]
    {
        assert!(message.contains(part), "{message}");
    }
    assert!(!std::path::Path::new(&output).exists());
    let good = run(&["--classes", "20"]);
    let report = text(&good.stderr);
    assert!(good.status.success() && report.contains("mapped         463\n"), "{report}");
    let answers = load(&output);
    assert_eq!(answers.len(), 2);
    assert_eq!((answers["logits"].dims(), answers["boxes"].dims()), (&[2, 300, 20][..], &[2, 300, 4][..]));
    let said = text(&good.stdout);
    assert!(said.ends_with("o.safetensors: logits [2, 300, 20], boxes [2, 300, 4]\n"), "{said}");
    // As trained, the answers are the same up to rounding.
    let deployed = answers;
    assert!(run(&["--classes", "20", "--structure", "train"]).status.success());
    let error = difference(&load(&output)["logits"], &deployed["logits"]);
    assert!(error > 0.0, "the structure changed nothing");
    // What does not fit is random, and said to be.
    let partial = run(&["--allow-partial"]);
    let report = text(&partial.stderr);
    assert!(partial.status.success(), "{report}");
    assert!(report.contains("8 tensors are random") && report.contains("decoder.dec_score_head.2.bias"), "{report}");
    assert_eq!(load(&output)["logits"].dims(), [2, 300, 80]);
}

#[test]
fn wrong_tensors_are_refused_before_anything_is_loaded() {
    let folder = Folder::new();
    let output = folder.file("o.safetensors");
    let weights = folder.file("w.safetensors");
    hollow(&weights, &needed("rtdetr_r18vd", 80));
    let refuse = |input: &str, parts: &[&str]| {
        refused(&["run", "rtdetr_r18vd", "--weights", &weights, "--input", input, "--output", &output], parts);
    };
    let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).expect("zeros");
    let input = folder.file("i.safetensors");
    for (name, tensor, parts) in [
        ("images", zeros(&[1, 3, 256, 256], DType::F32), &["\"image\"", "images"][..]),
        ("image", zeros(&[1, 3, 256, 256], DType::F64), &["F64", "F32 is wanted"]),
        ("image", zeros(&[1, 3, 256, 256], DType::U8), &["U8", "F32 is wanted"]),
        ("image", zeros(&[3, 256, 256], DType::F32), &["[3, 256, 256]", "N, C, H, W"]),
        ("image", zeros(&[1, 1, 256, 256], DType::F32), &["C is 3, not 1"]),
        ("image", zeros(&[0, 3, 256, 256], DType::F32), &["may be 0"]),
        ("image", zeros(&[1, 3, 250, 256], DType::F32), &["multiples of 32"]),
        ("image", zeros(&[1, 3, 96, 96], DType::F32), &["fewer than the 300 queries"]),
        ("image", (zeros(&[1, 3, 256, 256], DType::F32) / 0.0).expect("NaN"), &["NaN at index 0"]),
    ] {
        save(&input, name, &tensor);
        refuse(&input, parts);
    }
    refuse(&folder.file("none.safetensors"), &["cannot read", "none.safetensors"]);
    refuse(&folder.with("i.npy", b"\x93NUMPY\x01\0"), &["no safetensors"]);
    refuse(&folder.with("e.safetensors", b"\x08\0\0\0\0\0\0\0{}      "), &["no tensors"]);
    save(&input, "image", &zeros(&[1, 3, 256, 256], DType::F32));
    let run = |more: &[&str], parts: &[&str]| {
        let args = ["run", "rtdetr_r18vd", "--input", &input, "--output", &output];
        refused(&[&args, more].concat(), parts);
    };
    run(&[], &["--weights"]);
    run(&["--weights", &folder.file("none.pth")], &["cannot read", "none.pth"]);
    run(&["--weights", &weights, "--device", "cuda:0"], &["--device cpu"]);
    run(&["--weights", &weights, "--classes", "0"], &["classes"]);
    refused(&["run", "rtdetr_r19", "--weights", &weights, "--input", &input, "--output", &output], &["no model"]);
    let nowhere = folder.file("none/o.safetensors");
    refused(&["run", "rtdetr_r18vd", "--weights", &weights, "--input", &input, "--output", &nowhere], &["no folder"]);
    assert!(!folder.names().contains(&"o.safetensors".to_owned()));
}
