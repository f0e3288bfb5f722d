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
    assert_eq!(devices[0]["checks"].as_array().expect("a list").len(), 5);
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
