//! `detrace conventions`: figures, terms that add up, and bad input.

mod common;

use common::checkpoint::Folder;
use common::{detrace, done, refused, text};
use detrace::config::{Config, zoo};
use detrace::flops::explain::explain;
use detrace::flops::{Framework, Structure, View, conventions};
use serde_json::Value;

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&done(&[args, &["--format", "json"]].concat())).expect("JSON")
}

fn row<'a>(report: &'a Value, convention: &str) -> &'a Value {
    let rows = report["conventions"].as_array().expect("a list");
    rows.iter().find(|row| row["convention"] == convention).expect("a row")
}

#[test]
fn terms_add_up_for_every_model() {
    let mut compared = 0;
    for name in zoo::names() {
        let config = Config::load(name).expect("a variant");
        for (structure, input) in [
            (Structure::Train, [1, 3, 640, 640]),
            (Structure::Deploy, [1, 3, 640, 640]),
            (Structure::Train, [2, 3, 480, 640]),
        ] {
            let trace = detrace::graph::plan(&config, structure, input).expect("a plan");
            for (framework, _) in Framework::ALL {
                let view = View::new(&trace, framework);
                for convention in conventions::ALL.iter().filter(|convention| !convention.of_programs) {
                    let explained = explain(&view, convention).expect("counts");
                    let sum: i128 = explained.terms.iter().map(|term| term.count).sum();
                    assert_eq!(sum, explained.difference(), "{name} {structure:?} {framework} {}", convention.name);
                    assert!(explained.terms.iter().all(|term| term.count != 0));
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 20 * 3 * 2 * 12);
}

/// The totals are those that the tools printed; the terms were worked out by hand from the shapes.
#[test]
fn a_report_says_what_the_tools_print_and_why() {
    let report = json(&["conventions", "rtdetr_r18vd"]);
    assert_eq!(report["framework"], "official");
    assert_eq!(report["structure"], "train");
    let thop = row(&report, "thop");
    assert_eq!(thop["total"], 30_382_182_400_u64);
    assert_eq!(thop["params"], 19_069_936);
    assert_eq!(thop["unit"], "mac");
    assert_eq!(thop["difference"], 30_382_182_400_i64 - 30_757_683_200);
    let term = |name: &str| {
        let terms = thop["terms"].as_array().expect("a list");
        terms.iter().find(|term| term["term"] == name).map(|term| term["count"].as_i64().expect("a number"))
    };
    // Four projections: AIFI's on 400 tokens, those of three decoder layers on 300.
    assert_eq!(term("projections of multi-head attention"), Some(-4 * 256 * 256 * (400 + 3 * 300)));
    // Scores and mix, in 256 channels together.
    assert_eq!(term("products of attention"), Some(-2 * 256 * (400 * 400 + 3 * 300 * 300)));
    // Four taps and a weight for each of 300 queries, 8 heads, 12 points, 32 channels.
    assert_eq!(term("deformable sampling"), Some(-5 * 3 * 300 * 8 * 12 * 32));
    let calflops = row(&report, "calflops");
    assert_eq!(
        [&calflops["total"], &calflops["macs"], &calflops["unit"]],
        [&Value::from(61_206_844_800_u64), &Value::from(30_523_699_200_u64), &Value::from("flop")]
    );
}

#[test]
fn transformers_is_another_tree() {
    let report = json(&["conventions", "rtdetr_r18vd", "--framework", "hf"]);
    let counter = row(&report, "torch-flop-counter");
    assert_eq!(counter["total"], 61_512_294_400_u64);
    assert_eq!(counter["params"], 20_174_608);
    let heads = "class heads of earlier decoder layers, which transformers runs";
    let term = counter["terms"].as_array().expect("a list").iter().find(|term| term["term"] == heads);
    assert_eq!(term.expect("the term")["count"], 2 * 2 * 300 * 256 * 80);
    // What detrace itself ran stays as it is.
    assert_eq!(row(&report, "full")["total"], row(&json(&["conventions", "rtdetr_r18vd"]), "full")["total"]);
}

#[test]
fn a_configuration_of_transformers_is_counted_as_transformers() {
    let folder = Folder::new();
    let config = r#"{"model_type": "rt_detr_v2", "id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}"#;
    let config = folder.with("config.json", config.as_bytes());
    assert_eq!(json(&["conventions", &config])["framework"], "hf");
    assert_eq!(json(&["conventions", &config, "--framework", "official"])["framework"], "official");
    let norms = |text: &str| {
        let config = folder.with("config.json", text.as_bytes());
        row(&json(&["conventions", &config]), "thop")["total"].as_u64().expect("a number")
    };
    let frozen = norms(r#"{"model_type": "rt_detr"}"#);
    let trained = norms(r#"{"model_type": "rt_detr", "freeze_backbone_batch_norms": false}"#);
    assert!(trained > frozen, "thop sees norms that are not frozen: {trained}, {frozen}");
}

#[test]
fn a_saved_trace_gives_the_same_figures() {
    let folder = Folder::new();
    let trace = folder.file("trace.json");
    done(&["static", "rtdetrv2_r18vd_dsp", "--input", "2x3x320x256", "--trace-out", &trace]);
    let options = ["--framework", "hf", "--format", "csv"];
    let saved = done(&[&["conventions", "--from", &trace], options.as_slice()].concat());
    let planned =
        done(&[&["conventions", "rtdetrv2_r18vd_dsp", "--input", "2x3x320x256"], options.as_slice()].concat());
    assert_eq!(saved, planned);
    assert!(saved.lines().count() > 60, "{saved}");
    assert_eq!(saved.lines().next(), Some("convention,unit,total,params,full,difference,term,count"));
}

#[test]
fn flops_and_static_take_a_framework() {
    let total = |framework: &str| {
        let args = ["static", "rtdetr_r50vd", "--convention", "fvcore", "--framework", framework, "--format", "json"];
        let report: Value = serde_json::from_str(&done(&args)).expect("JSON");
        assert_eq!(report["framework"], framework);
        report["total"].as_u64().expect("a number")
    };
    assert_eq!([total("official"), total("hf")], [68_626_073_600, 68_656_793_600]);
}

#[test]
fn it_is_shown_as_a_table_and_as_markdown() {
    let table = done(&["conventions", "rtdetr_r50vd", "--structure", "deploy"]);
    assert!(table.contains("rtdetr_r50vd (deploy), input 1x3x640x640"), "{table}");
    assert!(table.contains("66,006,630,400"), "{table}");
    let folder = Folder::new();
    let file = folder.file("r50.md");
    assert_eq!(done(&["conventions", "rtdetr_r50vd", "--format", "markdown", "--output", &file]), "");
    let markdown = std::fs::read_to_string(&file).expect("written");
    assert!(markdown.contains("| torchinfo | "), "{markdown}");
    assert!(markdown.contains("<br>"), "{markdown}");
}

#[test]
fn bad_input_is_refused() {
    refused(&["conventions"], &["required"]);
    refused(&["conventions", "rtdetr_r51vd"], &["detrace models"]);
    refused(&["conventions", "rtdetr_r18vd", "--framework", "keras"], &["official", "hf"]);
    refused(&["conventions", "rtdetr_r18vd", "--input", "1x3x100x640"], &["1x3x96x640"]);
    refused(&["conventions", "--from", "no/such.json"], &["no/such.json"]);
    refused(&["conventions", "rtdetr_r18vd", "--output", "no/such/folder/x.json"], &["no/such/folder"]);
    let graph = format!("{}/tests/fixtures/graphs/rtdetr_r18vd.pdmodel", env!("CARGO_MANIFEST_DIR"));
    refused(&["conventions", &graph], &["is a graph file", "detrace flops"]);
    let folder = Folder::new();
    let broken = folder.with("broken.json", b"{\"schema\": 1");
    refused(&["conventions", "--from", &broken], &["broken.json", "not a detrace trace"]);
    let report = folder.with("report.json", b"{\"schema\": 1, \"layers\": []}");
    refused(&["conventions", "--from", &report], &["--trace-out"]);
    refused(&["conventions", "--from", &report, "rtdetr_r18vd"], &["cannot be used with"]);
    assert!(text(&detrace(&["conventions", "--help"]).stdout).contains("Examples:"));
}
