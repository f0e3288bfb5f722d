//! `detrace compare`: what ran against the plan and against saved traces, its verdicts, exit codes and errors.

mod common;

use common::{detrace, done, refused, text};

const SMALL: &str = "1x3x160x192";

/// JSON of a comparison that must end with this exit code.
fn json(code: i32, args: &[&str]) -> serde_json::Value {
    let output = detrace(&[&["compare"], args, &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn what_ran_is_what_was_planned() {
    for (model, structure, input) in [
        ("rtdetr_r18vd", "train", SMALL),
        ("rtdetrv2_r18vd_dsp", "deploy", "2x3x192x160"),
        ("rtdetr_hgnetv2_l", "fast", "2x3x192x160"),
        ("rtdetr_hgnetv2_l", "train", SMALL),
    ] {
        let report = json(0, &[model, "--structure", structure, "--input", input]);
        assert_eq!(report["rows"], serde_json::json!([]), "{model}");
        assert_eq!(report["explained"], serde_json::json!([]), "{model}");
        assert_eq!((&report["unexplained"]["rows"], &report["failed"]), (&0.into(), &false.into()), "{model}");
        assert_eq!(report["summary"]["same"], report["here"]["operations"], "{model}");
        assert_eq!(report["here"]["source"], "traced", "{model}");
        assert_eq!(
            (&report["there"]["source"], &report["there"]["structure"]),
            (&"plan".into(), &structure.into()),
            "{model}"
        );
        assert!(report["here"]["product_macs"].as_u64().is_some_and(|macs| macs > 1_000_000_000), "{model}");
    }
}

#[test]
fn saved_traces_are_compared_and_a_doctored_one_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (train, deploy, other) = (path("train.json"), path("deploy.json"), path("other.json"));
    done(&["flops", "rtdetr_r18vd", "--input", SMALL, "--trace-out", &train]);
    done(&["static", "rtdetr_r18vd", "--input", SMALL, "--structure", "deploy", "--trace-out", &deploy]);

    // The model takes the size that the trace has.
    let same = done(&["compare", "rtdetr_r18vd", "--against", &train]);
    assert!(same.contains("398 same\nno difference\n"), "{same}");
    assert!(done(&["compare", "--from", &deploy]).contains("no difference"));

    // Another structure: everything has a name, and the branches that deploy does not run are work.
    let report = json(1, &["--from", &train, "--against", &deploy]);
    let groups = report["explained"].as_array().expect("a list");
    let group = |reason: &str| groups.iter().find(|group| group["reason"] == reason).expect(reason);
    assert_eq!(groups.len(), 3, "{groups:?}");
    assert_eq!((&group("norms")["here"]["ops"], &group("norms")["there"]["ops"]), (&69.into(), &0.into()));
    assert_eq!((&group("biases")["here"]["ops"], &group("biases")["there"]["ops"]), (&0.into(), &57.into()));
    let branches = &group("branches")["here"];
    assert_eq!(branches["ops"], 24);
    let apart =
        |key: &str| report["here"][key].as_u64().expect("a number") - report["there"][key].as_u64().expect("a number");
    assert_eq!(branches["macs"], apart("macs"));
    assert_eq!(report["unexplained"]["macs"], apart("product_macs"));
    let rows = report["rows"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["reason"].is_string()), "a row without a reason");
    json(0, &["--from", &train, "--against", &deploy, "--fail-over", "1.1%"]);
    json(1, &["--from", &train, "--against", &deploy, "--fail-over", "1.0"]);
    let output = detrace(&["compare", "--from", &train, "--against", &deploy]);
    assert!(text(&output.stderr).contains("--structure"), "{}", text(&output.stderr));
    let markdown = detrace(&["compare", "--from", &deploy, "--against", &train, "--format", "markdown"]);
    assert_eq!(markdown.status.code(), Some(1));
    let wanted = "| conv2d | - | encoder.fpn_blocks.0.bottlenecks.0.conv2.conv | only there |";
    assert!(text(&markdown.stdout).contains(wanted), "{}", text(&markdown.stdout));

    // A stride, and all else untouched.
    let mut doctored: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&train).expect("a trace")).expect("JSON");
    doctored["ops"][0]["attrs"]["stride"] = serde_json::json!([1, 1]);
    std::fs::write(&other, doctored.to_string()).expect("writes");
    let report = json(1, &["--from", &train, "--against", &other]);
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["rows"][0]["verdict"], "other_shape");
    assert_eq!(report["rows"][0]["here"][0]["path"], "backbone.conv1.conv1_1.conv");
    let out = path("out.txt");
    let output = detrace(&["compare", "--from", &train, "--against", &other, "--output", &out]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(std::fs::read_to_string(&out).expect("a report").contains("stride 2x2"));
    let paddle = json(0, &["--from", &train, "--convention", "paddle"]);
    assert_eq!((&paddle["convention"], &paddle["here"]["params"]), (&"paddle".into(), &19_358_320.into()));

    // Another model, of which a plan is asked for as well.
    let report = json(1, &["rtdetr_r34vd", "--from", &train]);
    assert!(report["unexplained"]["macs"].as_u64().is_some_and(|macs| macs > 1_000_000_000));
}

#[test]
fn graph_files_are_compared() {
    let graph = |name: &str| format!("{}/tests/fixtures/graphs/{name}", env!("CARGO_MANIFEST_DIR"));
    let (train, deploy, pir) =
        (graph("rtdetr_r18vd.pdmodel"), graph("rtdetr_r18vd_deploy.pdmodel"), graph("rtdetr_r18vd.pir.json"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    // At this size a plan is read faster than a model runs; that they are the same is another test's.
    let compared = |code, model, structure, graph: &str| {
        let plan = path(&format!("{model}.{structure}.json"));
        done(&["static", model, "--structure", structure, "--trace-out", &plan]);
        json(code, &["--from", &plan, "--against", graph])
    };
    let onnx = [graph("rtdetr_r18vd.torch.onnx"), graph("rtdetr_r18vd.paddle2onnx.onnx")];
    for (structure, graph) in
        [("train", &train), ("deploy", &deploy), ("deploy", &pir), ("deploy", &onnx[0]), ("deploy", &onnx[1])]
    {
        let report = compared(0, "rtdetr_r18vd", structure, graph);
        assert_eq!((&report["unexplained"]["rows"], &report["joined"]), (&0.into(), &"shapes".into()), "{graph}");
        for macs in ["macs", "product_macs"] {
            assert_eq!(report["here"][macs], report["there"][macs], "{graph}");
        }
        // Per level on one side, all levels at once on the other.
        let groups = report["explained"].as_array().expect("a list");
        let split = groups.iter().find(|group| group["reason"] == "split").expect("grid_sample");
        assert_eq!((&split["here"]["ops"], &split["there"]["ops"]), (&3.into(), &9.into()), "{graph}");
        assert_eq!(split["here"]["macs"], split["there"]["macs"], "{graph}");
    }
    // Without being told, the network is built as the graph's was.
    for (structure, graph) in [("train", &train), ("deploy", &onnx[0])] {
        let report = json(0, &["rtdetr_r18vd", "--against", graph]);
        assert_eq!((&report["here"]["structure"], &report["unexplained"]["rows"]), (&structure.into(), &0.into()));
    }
    for (structure, graph, side) in [("deploy", &train, "there"), ("train", &pir, "here")] {
        let report = compared(1, "rtdetr_r18vd", structure, graph);
        assert_eq!(report["unexplained"]["macs"], 491_520_000, "{graph}");
        let rows = report["rows"].as_array().expect("rows").iter().filter(|row| row["kind"] == "conv2d");
        let branches = rows.filter(|row| row["reason"] == "branches");
        assert_eq!(branches.filter(|row| row[side][0]["macs"].is_u64()).count(), 12, "{graph}");
    }
    compared(1, "rtdetr_r34vd", "train", &train);

    // The stem halves one convolution later: two convolutions are larger, everything behind them is as it was.
    let text = std::fs::read_to_string(&pir).expect("a program");
    let steps = |step: u8| {
        format!("{{\"#\":\"0.a_i32\",\"D\":{step}}},{{\"#\":\"0.a_i32\",\"D\":{step}}}]}},\"N\":\"strides\"")
    };
    let swapped =
        text.replacen(&steps(1), &steps(9), 1).replacen(&steps(2), &steps(1), 1).replacen(&steps(9), &steps(2), 1);
    assert_ne!(swapped, text);
    std::fs::write(path("swapped.json"), swapped).expect("writes");
    let report = compared(1, "rtdetr_r18vd", "deploy", &path("swapped.json"));
    assert_eq!(report["unexplained"]["rows"], 2, "{}", report["rows"]);
    // One of 32 channels from 3 on 640x640 instead of 320x320, one of 32 from 32 as it was.
    assert_eq!(report["unexplained"]["macs"], 3 * 320 * 320 * 32 * 3 * 9);
}

#[test]
fn bad_input_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let file = |name: &str, text: &str| {
        std::fs::write(path(name), text).expect("writes");
        path(name)
    };
    let model = "rtdetr_r18vd";
    refused(&["compare"], &["required"]);
    refused(&["compare", "nope"], &["detrace models"]);
    refused(&["compare", model, "--against", "missing.json"], &["missing.json"]);
    refused(&["compare", model, "--against", &file("report.json", r#"{"schema": 1, "layers": []}"#)], &["--trace-out"]);
    refused(&["compare", model, "--against", &file("notes.txt", "plan")], &["notes.txt", ".pdmodel"]);
    refused(&["compare", model, "--against", &file("cut.pdmodel", "\u{a}\u{7f}")], &["cut.pdmodel", "byte"]);
    let graph = format!("{}/tests/fixtures/graphs/rtdetr_r18vd.pdmodel", env!("CARGO_MANIFEST_DIR"));
    refused(&["compare", model, "--against", &graph, "--input", "2x3x640x640"], &["dimension 0", "2 is asked for"]);
    refused(&["compare", "--from", &file("cut.json", r#"{"schema": 1, "ops": [{"pa"#)], &["cut.json"]);
    refused(&["compare", "--from", "x.json", "--input", SMALL], &["cannot be used with"]);
    refused(&["compare", model, "--input", "1x3x100x100"], &["1x3x96x96"]);
    refused(&["compare", model, "--convention", "magic"], &["full, paddle"]);
    for share in ["-1%", "101%", "nan", "many", ""] {
        refused(&["compare", model, &format!("--fail-over={share}")], &["0% to 100%"]);
    }
    refused(&["compare", model, "--input", SMALL, "--output", &path("no/out.txt")], &["no folder"]);

    let trace = path("trace.json");
    done(&["static", model, "--input", SMALL, "--trace-out", &trace]);
    let doctored = |key: &str, value: serde_json::Value| {
        let mut json: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&trace).expect("a trace")).expect("JSON");
        json["meta"][key] = value;
        file(&format!("{key}.json"), &json.to_string())
    };
    refused(&["compare", "--from", &doctored("model", "mine".into())], &["\"mine\"", "configuration"]);
    refused(&["compare", "--from", &doctored("structure", "slow".into())], &["\"slow\"", "train, deploy and fast"]);
    refused(&["compare", "--from", &doctored("input", serde_json::json!([1, 3, 160]))], &["N, C, H, W"]);
}
