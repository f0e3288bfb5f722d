//! Key lists of real checkpoints.
#![allow(dead_code)] // each test file uses its part

use std::path::PathBuf;

use detrace_weights::Scheme;
use serde_json::Value;

/// The lists, and the scheme that each is written in.
pub(crate) const LISTS: [(Scheme, &str); 9] = [
    (Scheme::TorchV1, "torch_rtdetr_r50vd"),
    (Scheme::Canonical, "torch_rtdetrv2_r18vd"),
    (Scheme::Canonical, "torch_rtdetrv2_hgnetv2_l"),
    (Scheme::Paddle, "paddle_rtdetr_r50vd"),
    (Scheme::Paddle, "paddle_rtdetrv2_r18vd_dsp"),
    (Scheme::Paddle, "paddle_rtdetr_hgnetv2_l"),
    (Scheme::HuggingFace, "hf_rtdetr_r50vd"),
    (Scheme::HuggingFace, "hf_rtdetr_v2_r18vd"),
    (Scheme::HuggingFace, "hf_hgnetv2_l_backbone"),
];

/// Names and shapes of a list in `tests/data/names`.
pub(crate) fn names(list: &str) -> Vec<(String, Vec<usize>)> {
    let path = format!("{}/tests/data/names/{list}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut found = Vec::new();
    flatten(&serde_json::from_str(&text).expect("JSON"), "", &mut found);
    found
}

fn flatten(value: &Value, path: &str, found: &mut Vec<(String, Vec<usize>)>) {
    match value {
        Value::Object(children) => {
            for (name, child) in children {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(child, &path, found);
            }
        }
        shape => found.push((path.to_owned(), serde_json::from_value(shape.clone()).expect("a shape"))),
    }
}

/// A file in `tests/data/files`.
pub(crate) fn file(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/tests/data/files/{name}", env!("CARGO_MANIFEST_DIR")))
}

/// The values of tensor `number` in those files.
pub(crate) fn values(number: usize, count: usize) -> Vec<f32> {
    (0..count).map(|index| number as f32 + index as f32 / 8.0).collect()
}
