//! `detrace params`: the breakdown, reconciled with every tool, and bad input.

mod common;

use common::checkpoint::Folder;
use common::{detrace, done, refused, text};
use detrace::config::{Config, zoo};
use detrace::flops::explain::{explain_params, holdings};
use detrace::flops::{Framework, Structure, View, conventions};
use serde_json::Value;

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&done(&[args, &["--format", "json"]].concat())).expect("JSON")
}

fn held(report: &Value, holding: &str) -> u64 {
    let sorts = report["holdings"].as_array().expect("a list");
    sorts.iter().find(|sort| sort["holding"] == holding).map_or(0, |sort| sort["params"].as_u64().expect("a number"))
}

fn tool<'a>(report: &'a Value, name: &str) -> &'a Value {
    let tools = report["conventions"].as_array().expect("a list");
    tools.iter().find(|tool| tool["convention"] == name).expect("a row")
}

#[test]
fn terms_add_up_for_every_model() {
    for name in zoo::names() {
        let config = Config::load(name).expect("a variant");
        for structure in [Structure::Train, Structure::Deploy] {
            let trace = detrace::graph::plan(&config, structure, [1, 3, 640, 640]).expect("a plan");
            let all: u64 = trace.params.iter().map(|param| param.numel()).sum();
            for (framework, _) in Framework::ALL {
                let view = View::new(&trace, framework);
                let held = holdings(&view);
                assert_eq!(held.sorts.iter().map(|sort| sort.params).sum::<u64>(), all, "{name}");
                for convention in conventions::ALL.iter().filter(|convention| !convention.of_programs) {
                    let explained = explain_params(&view, convention).expect("counts");
                    let sum: i128 = explained.terms.iter().map(|term| term.count).sum();
                    assert_eq!(explained.full, held.learned(), "{name} {structure:?} {framework}");
                    assert_eq!(sum, explained.difference(), "{name} {structure:?} {framework} {}", convention.name);
                }
            }
        }
    }
}

/// Figures of the real networks: `sum(p.numel() for p in model.parameters())` and the like.
#[test]
fn parameters_are_those_of_the_real_networks() {
    let r18 = json(&["params", "rtdetr_r18vd"]);
    assert_eq!(r18["learned"], 20_184_464);
    assert_eq!(tool(&r18, "torch-flop-counter")["params"], 20_184_464);
    assert_eq!(held(&r18, "training_only"), 81 * 256);
    assert_eq!(held(&r18, "uncalled"), 2 * (256 * 80 + 80));
    assert_eq!(held(&r18, "non_leaf"), 4 * (3 * 256 * 256 + 3 * 256));
    assert_eq!(held(&r18, "frozen_affine"), 0);
    assert_eq!(held(&r18, "statistic"), 2 * 12_608);
    // Scale and shift of 12,608 channels and the 1x1 branches of 12 RepVGG blocks go; a bias for every channel of what is left
    // comes.
    assert_eq!(2 * 12_608 + 12 * 128 * 128, 221_824);
    assert_eq!(12_608 - 12 * 128, 11_072);
    assert_eq!(
        r18["merging"],
        serde_json::json!({"train": 20_184_464, "merged_away": 221_824, "made": 11_072, "deploy": 19_973_712})
    );

    let r50 = json(&["params", "rtdetr_r50vd"]);
    assert_eq!(r50["learned"], 42_944_620);
    assert_eq!(held(&r50, "frozen_affine"), 53_248);
    assert_eq!(tool(&r50, "deepspeed")["params"], 42_891_372);
    assert_eq!(tool(&r50, "calflops")["params"], 42_862_860);

    let hf = json(&["params", "rtdetr_r18vd", "--framework", "hf"]);
    assert_eq!(held(&hf, "frozen_affine"), 9_856);
    assert_eq!(tool(&hf, "thop")["params"], 20_153_872);
    let deploy = json(&["params", "rtdetr_r50vd", "--structure", "deploy"]);
    assert_eq!(deploy["learned"], 42_117_740);
    assert_eq!(held(&deploy, "statistic") + held(&deploy, "frozen_affine"), 0);
}

/// Elements of `model.named_buffers()` of the real networks at 480x640 that are neither statistics nor frozen norms.
#[test]
fn other_buffers_are_those_of_the_real_networks() {
    let buffers = |model: &str, framework: &str| -> Vec<u64> {
        let report = json(&["params", model, "--framework", framework, "--input", "1x3x480x640"]);
        let buffers = report["buffers"].as_array().expect("a list");
        buffers.iter().map(|buffer| buffer["elements"].as_u64().expect("a number")).collect()
    };
    assert_eq!(buffers("rtdetr_r50vd", "official"), [42, 76_800]);
    assert_eq!(buffers("rtdetrv2_r18vd", "official"), [69, 76_800, 25_200 + 6_300, 36]);
    assert_eq!(buffers("rtdetrv2_hgnetv2_l", "official"), [42, 76_800, 25_200 + 6_300, 72]);
    assert_eq!(buffers("rtdetr_r18vd", "hf"), [46]);
    assert_eq!(buffers("rtdetrv2_r18vd", "hf"), [46, 36]);
}

#[test]
fn terms_have_the_words_that_say_why() {
    let table = done(&["params", "rtdetr_r50vd_m", "--framework", "hf"]);
    for words in ["decoder layers that transformers does not build", "scale and shift of frozen norms", "45 modules"] {
        assert!(table.contains(words), "no {words:?} in {table}");
    }
    let markdown = done(&["params", "rtdetr_r50vd", "--format", "markdown"]);
    assert!(markdown.contains("decoder layers counted twice"), "{markdown}");
    let csv = done(&["params", "rtdetr_r50vd", "--format", "csv"]);
    assert!(csv.contains("thop,total,40925660\n"), "{csv}");
    assert!(csv.contains("calflops,not trained (requires_grad=False),-28512\n"), "{csv}");
}

#[test]
fn a_saved_trace_gives_the_same_figures() {
    let folder = Folder::new();
    let trace = folder.file("trace.json");
    done(&["flops", "rtdetr_r18vd", "--input", "1x3x320x320", "--trace-out", &trace]);
    assert_eq!(json(&["params", "--from", &trace])["holdings"], json(&["params", "rtdetr_r18vd"])["holdings"]);
}

#[test]
fn bad_input_is_refused() {
    refused(&["params"], &["required"]);
    refused(&["params", "rtdetr_r51vd"], &["detrace models"]);
    refused(&["params", "rtdetr_r18vd", "--framework", "keras"], &["official", "hf"]);
    refused(&["params", "--from", "no/such.json"], &["no/such.json"]);
    refused(&["params", "rtdetr_r18vd", "--format", "paddle"], &["markdown"]);
    let folder = Folder::new();
    let trace = folder.file("trace.json");
    done(&["static", "rtdetr_r18vd", "--trace-out", &trace]);
    let mut saved: Value = serde_json::from_str(&std::fs::read_to_string(&trace).expect("written")).expect("JSON");
    saved["params"] = serde_json::json!([]);
    let bare = folder.with("bare.json", saved.to_string().as_bytes());
    refused(&["params", "--from", &bare], &["--trace-out"]);
    assert!(text(&detrace(&["params", "--help"]).stdout).contains("Examples:"));
}
