//! Graph files on the command line: `flops GRAPH`, `static GRAPH`.

mod common;

use std::path::Path;

use common::{detrace, done, refused, text};

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    path.to_str().expect("UTF-8").to_owned()
}

fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&done(args)).expect("JSON")
}

#[test]
fn a_program_is_counted_as_paddle_counts_it() {
    for (name, total) in [("rtdetr_r18vd", 25_796_636_803_u64), ("rtdetr_r18vd_deploy", 25_289_756_803)] {
        let graph = fixture(&format!("graphs/{name}.pdmodel"));
        for command in ["flops", "static"] {
            let report = json(&[command, &graph, "--convention", "paddle-static", "--format", "json"]);
            assert_eq!((&report["total"], &report["model"]), (&total.into(), &name.into()));
            assert_eq!(report["input"], serde_json::json!([1, 3, 640, 640]));
        }
        // The table, to the last space.
        let golden = std::fs::read_to_string(fixture(&format!("paddle/static/{name}.json"))).expect("a golden");
        let golden: serde_json::Value = serde_json::from_str(&golden).expect("JSON");
        let printed: Vec<&str> =
            golden["printed"].as_array().expect("lines").iter().map(|line| line.as_str().expect("a line")).collect();
        let ours = done(&["flops", &graph, "--format", "paddle"]);
        assert_eq!(ours.lines().collect::<Vec<&str>>(), printed, "{name}");
    }
}

#[test]
fn nothing_confirms_a_count_of_a_program_of_paddle_3() {
    let graph = fixture("graphs/rtdetr_r18vd.pir.json");
    let overview = done(&["flops", &graph]);
    assert!(overview.contains("25293596803") && overview.contains("nothing confirms it"), "{overview}");
    assert!(overview.contains("conv2d") && overview.contains("30,266,163,200"), "{overview}");
    let output = detrace(&["flops", &graph, "--convention", "paddle-static", "--format", "json"]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("no Paddle version can count"), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["total"], 25_293_596_803_u64);
}

#[test]
fn a_trace_of_a_graph_is_counted_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = folder.path().join("r18.json");
    let saved = saved.to_str().expect("UTF-8");
    let graph = fixture("graphs/rtdetr_r18vd.pdmodel");
    let rest = ["--format", "json", "--custom-op", "layer_norm=5*out"];
    let first = json(&[&["flops", &graph, "--trace-out", saved][..], &rest].concat());
    let again = json(&[&["flops", "--from", saved][..], &rest].concat());
    assert_eq!(first, again);
    let plain = json(&["flops", "--from", saved, "--convention", "paddle-static", "--format", "json"]);
    assert_eq!(plain["total"], 25_796_636_803_u64);
}

#[test]
fn what_does_not_fit_a_graph_is_refused() {
    let graph = fixture("graphs/rtdetr_r18vd.pdmodel");
    for options in [["--seed", "1"], ["--structure", "deploy"], ["--blob", "photo.jpg"]] {
        refused(&["flops", &graph, options[0], options[1]], &[options[0], "graph file"]);
    }
    refused(&["static", &graph, "--structure", "deploy"], &["--structure", "graph file"]);
    refused(&["flops", &graph, "--input", "2x3x640x640"], &["rtdetr_r18vd.pdmodel", "dimension 0", "at 1, and 2"]);
    refused(&["flops", &graph, "--input", "640"], &["NxCxHxW"]);
    refused(&["flops", &graph, "--names", "paddle"], &["--names"]);
    refused(&["flops", &graph, "--convention", "paddle", "--format", "paddle"], &["paddle-static"]);
    refused(&["static", "rtdetr_r18vd", "--convention", "paddle-static"], &["paddle-static", ".pdmodel"]);
    refused(&["flops", "missing.pdmodel"], &["missing.pdmodel", "cannot be read"]);
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &[u8]| -> String {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("writes");
        path.to_str().expect("UTF-8").to_owned()
    };
    refused(&["flops", &write("cut.pdmodel", &[10, 200, 1])], &["cut.pdmodel", "at byte"]);
    refused(&["flops", &write("cut.json", br#"{"base_code":{"magic":"pir""#)], &["cut.json", "not a Paddle program"]);
    for name in ["weights.pdiparams", "model.pth", "model.tflite"] {
        refused(&["flops", &write(name, b"x")], &[name, "no graph file", ".onnx", ".pdmodel"]);
    }
    refused(&["flops", &write("list.json", b"[]")], &["list.json"]);
    std::fs::create_dir(folder.path().join("folder.pdmodel")).expect("a folder");
    let inner = folder.path().join("folder.pdmodel");
    refused(&["flops", inner.to_str().expect("UTF-8")], &["folder.pdmodel", "not a regular file"]);
}
