//! `detrace static`: the figures of `flops` without a forward pass, and its errors.

mod common;

use common::{done, refused};

fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&done(args)).expect("JSON")
}

#[test]
fn a_plan_counts_what_paddle_prints() {
    for (model, total, params) in
        [("rtdetr_r18vd", 30_362_009_600_u64, 19_358_320_u64), ("rtdetr_r50vd", 68_348_108_800, 41_514_204)]
    {
        let report = json(&["static", model, "--convention", "paddle", "--format", "json"]);
        assert_eq!(report["total"], total, "{model}");
        assert_eq!(report["params"], params, "{model}");
        assert_eq!(report["input"], serde_json::json!([1, 3, 640, 640]), "{model}");
    }
}

#[test]
fn a_plan_and_a_forward_report_the_same_layers() {
    let rest = ["rtdetr_r18vd", "--input", "2x3x128x192", "--structure", "deploy", "--format", "json"];
    let with = |command: &'static str| json(&[&[command], rest.as_slice()].concat());
    let (ran, planned) = (with("flops"), with("static"));
    assert_eq!(ran["total"], planned["total"]);
    assert_eq!(ran["params"], planned["params"]);
    let paths = |report: &serde_json::Value| -> Vec<(String, String)> {
        let layers = report["layers"].as_array().expect("a list");
        layers.iter().map(|layer| (layer["path"].to_string(), layer["count"].to_string())).collect()
    };
    assert!(paths(&ran).len() > 100);
    assert_eq!(paths(&ran), paths(&planned));
}

#[test]
fn bad_input_is_refused() {
    refused(&["static", "nope"], &["detrace models"]);
    refused(&["static", "rtdetr_r18vd", "--input", "1x3x100x100"], &["1x3x96x96"]);
    refused(&["static", "rtdetr_r18vd", "--input", "1x4x640x640"], &["RGB images"]);
    refused(&["static", "rtdetr_r18vd", "--convention", "magic"], &["full, paddle"]);
}
