//! Counts under `paddle` against tables that the real `paddle.flops` printed.

use std::collections::BTreeMap;

use assert_cmd::Command;
use serde_json::Value;

fn golden(model: &str) -> Value {
    let path = format!("{}/tests/fixtures/paddle/{model}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("the golden table")).expect("JSON")
}

fn compare(model: &str) {
    let golden = golden(model);
    let trace = tempfile::NamedTempFile::new().expect("a file");
    let run = |args: &[&str]| {
        let output = Command::cargo_bin("detrace").expect("the program").args(args).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let trace_path = trace.path().to_str().expect("UTF-8");
    let json = run(&[
        "flops",
        model,
        "--convention",
        "paddle",
        "--names",
        "paddle",
        "--format",
        "json",
        "--trace-out",
        trace_path,
    ]);
    let ours: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(ours["total"], golden["total_flops"]);
    assert_eq!(ours["params"], golden["total_params"]);
    let nonzero = |row: &&Value| row["count"] != 0 || (row["params"] != 0 && row["verdict"] != "invisible");
    let ours: BTreeMap<&str, Value> = ours["layers"]
        .as_array()
        .expect("layers")
        .iter()
        .filter(nonzero)
        .map(|row| {
            let facts = [&row["input"], &row["output"], &row["params"], &row["count"], &row["calls"]];
            (row["path"].as_str().expect("a path"), Value::from(facts.map(Value::clone).to_vec()))
        })
        .collect();
    let rows = golden["rows"].as_array().expect("rows");
    let theirs: BTreeMap<&str, Value> = rows
        .iter()
        .map(|row| (row[0].as_str().expect("a name"), Value::from(row.as_array().expect("a row")[2..].to_vec())))
        .collect();
    assert_eq!(ours, theirs);

    // Paddle's own table: names, order and shapes of the rows that are not zero, and the last line.
    let table = run(&["flops", "--from", trace_path, "--format", "paddle"]);
    let printed: Vec<Vec<String>> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .filter(|cells: &Vec<String>| cells[3] != "0" || cells[4] != "0")
        .collect();
    let text = |value: &Value| value.to_string().replace(',', ", ").replace('"', "");
    let want: Vec<Vec<String>> = rows.iter().map(|row| (1..6).map(|column| text(&row[column])).collect()).collect();
    assert_eq!(printed, want);
    let last = format!("Total Flops: {}     Total Params: {}", golden["total_flops"], golden["total_params"]);
    assert_eq!(table.lines().last(), Some(last.as_str()));
}

#[test]
fn r18vd() {
    compare("rtdetr_r18vd");
}

#[test]
fn r50vd() {
    compare("rtdetr_r50vd");
}

#[test]
fn hgnetv2_l() {
    compare("rtdetr_hgnetv2_l");
}

#[test]
fn v2_r18vd_discrete() {
    compare("rtdetrv2_r18vd_dsp");
}

/// "FLOPs(G)" is floor(2 × Paddle's total / 1e9); "Params(M)" is floor(parameters without norm statistics / 1e6), for
/// RT-DETR-H floor(Paddle's Total Params / 1e6).
#[test]
fn published_figures_follow_for_every_variant() {
    for name in detrace::config::zoo::names() {
        let published = detrace::config::Config::load(name).expect("a variant").published.expect("figures");
        let trace = tempfile::NamedTempFile::new().expect("a file");
        let trace = trace.path().to_str().expect("UTF-8");
        let json = |args: &[&str]| -> Value {
            let output = Command::cargo_bin("detrace").expect("the program").args(args).output().expect("runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            serde_json::from_slice(&output.stdout).expect("JSON")
        };
        let full = json(&["flops", name, "--format", "json", "--trace-out", trace]);
        let paddle = json(&["flops", "--from", trace, "--convention", "paddle", "--format", "json"]);
        let number = |value: &Value| value.as_u64().expect("a number");
        assert_eq!(2 * number(&paddle["total"]) / 1_000_000_000, published.flops_g, "{name}");
        let params = if name.ends_with("hgnetv2_h") { &paddle["params"] } else { &full["params"] };
        assert_eq!(number(params) / 1_000_000, published.params_m, "{name}");
    }
}
