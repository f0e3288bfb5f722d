//! `detrace doctor`.

mod common;

use common::{done, refused};

#[test]
fn json_says_what_there_is_and_the_cpu_computes_right() {
    let found: serde_json::Value = serde_json::from_str(&done(&["doctor", "--format", "json"])).expect("JSON");
    assert_eq!(found["features"].as_array().expect("a list").is_empty(), !cfg!(feature = "cuda"));
    assert!(["portable", "avx2", "avx512"].contains(&found["kernels"]["isa"].as_str().expect("a name")));
    assert!(found["machine"]["logical_cores"].as_u64() > Some(0));
    let libraries = found["cuda"]["libraries"].as_array().expect("a list");
    assert_eq!(libraries.len(), 6);
    if found["cuda"]["gpus"].as_array().expect("a list").is_empty() {
        assert!(found["cuda"]["unusable"].as_str().expect("a reason").contains("; "));
    }
    let devices = found["devices"].as_array().expect("a list");
    assert_eq!(devices[0]["device"], "cpu");
    for check in devices.iter().flat_map(|device| device["checks"].as_array().expect("a list")) {
        assert_eq!(check["passed"], true, "{check}");
    }
    let checks = devices[0]["checks"].as_array().expect("a list");
    assert_eq!(checks.len(), 17);
    // f16 differs from f32, so nothing was compared with itself.
    let half = checks.iter().filter(|check| check["name"].as_str().expect("a name").contains("f16"));
    assert!(half.filter(|check| check["error"].as_f64() > Some(1e-5)).count() >= 8, "{checks:?}");
    assert!(found["networks"].is_null());
}

#[test]
fn networks_run_beside_the_cpu() {
    let run =
        ["doctor", "--device", "cpu", "--models", "rtdetrv2_r18vd_dsp", "--input", "1x3x224x224", "--format", "json"];
    let found: serde_json::Value = serde_json::from_str(&done(&run)).expect("JSON");
    let networks = found["networks"].as_array().expect("a list");
    assert_eq!(networks.len(), 1);
    let network = &networks[0];
    assert_eq!((&network["model"], &network["dtype"]), (&"rtdetrv2_r18vd_dsp".into(), &"f16".into()));
    let agreement = &network["agreement"];
    assert!(agreement["top100"].as_f64() >= Some(0.97) && agreement["logits"].as_f64() > Some(1e-5), "{network}");
    assert_eq!(found["devices"].as_array().expect("a list").len(), 1);
    refused(&["doctor", "--models", "rtdetr_r19"], &["no model"]);
    refused(&["doctor", "--models", "rtdetr_r18vd", "--input", "1x3x20x20"], &["multiples of 32"]);
    refused(&["doctor", "--input", "1x3x320x320"], &["--models"]);
    if !cfg!(feature = "cuda") {
        refused(&["doctor", "--device", "cuda"], &["without CUDA", "--device cpu"]);
    }
}

#[test]
fn text_names_every_part() {
    let text = done(&["doctor"]);
    for part in
        ["features", "machine", "CPU kernels", "environment", "driver", "libcublas", "self-test on cpu", "right"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("WRONG"), "{text}");
    refused(&["doctor", "--format", "xml"], &["xml", "text"]);
}
