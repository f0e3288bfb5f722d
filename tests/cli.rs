//! The command line as a user meets it: help, errors, files.

mod common;

use std::path::Path;

use common::{detrace, refused, text};

#[test]
fn bad_input_is_refused_with_its_fault_and_cure() {
    let model = "rtdetr_r18vd";
    refused(&["flops", "rtdetr_r50"], &["no model", "did you mean rtdetr_r50vd?", "detrace models"]);
    refused(&["flops", "missing.yaml"], &["missing.yaml"]);
    refused(&["flops"], &["required"]);
    refused(&["flops", model, "--convention", "magic"], &["no convention", "full, paddle"]);
    refused(&["flops", model, "--format", "xml"], &["xml", "table"]);
    refused(&["flops", model, "--format", "paddle", "--convention", "full"], &["--convention paddle"]);
    refused(&["flops", model, "--from", "x.json"], &["cannot be used with"]);
    for (input, part) in [
        ("", "NxCxHxW"),
        ("640", "NxCxHxW"),
        ("1x3x640", "NxCxHxW"),
        ("1x3x640x640x1", "NxCxHxW"),
        ("1x3x-640x640", "NxCxHxW"),
        ("1x3xax640", "NxCxHxW"),
        ("0x3x640x640", "may be 0"),
        ("1x1x640x640", "C is 3, not 1"),
        ("1x3x650x640", "1x3x640x640"),
        ("1x3x33x33", "multiples of 32"),
        ("1x3x96x96", "fewer than the 300 queries"),
        ("1000000x3x640x640", "MiB"),
        ("18446744073709551615x3x640x640", "any memory"),
        ("99999999999999999999x3x640x640", "NxCxHxW"),
    ] {
        refused(&["flops", model, &format!("--input={input}")], &[part]);
    }
}

#[test]
fn contradictory_and_damaged_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &[u8]| -> String {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("writes");
        path.to_str().expect("UTF-8").to_owned()
    };
    let good = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/rtdetr_r18vd.yaml"))
        .expect("a YAML");
    for (name, from, to, part) in [
        ("heads.yaml", "hidden_dim: 256", "hidden_dim: 258", "heads"),
        ("layers.yaml", "layers: 3", "layers: 0", "decoder.layers"),
        ("eval.yaml", "layers: 3", "layers: 3\n  eval_idx: 7", "eval_idx"),
        ("depth.yaml", "depth: 18", "depth: 19", "18, 34, 50, 101"),
        ("unknown.yaml", "expansion: 0.5", "expandion: 0.5", "expandion"),
        ("points.yaml", "layers: 3", "layers: 3\n  points: [4, 4]", "points"),
        ("type.yaml", "type: resnet_vd", "type: vit", "vit"),
    ] {
        assert!(good.contains(from), "{from}");
        let path = file(name, good.replace(from, to).as_bytes());
        refused(&["flops", &path], &[part]);
    }
    refused(&["flops", &file("cut.yaml", &good.as_bytes()[..good.len() / 3])], &["cut.yaml"]);
    refused(&["flops", &file("empty.yaml", b"")], &["empty.yaml"]);
    refused(&["flops", &file("binary.yaml", &[0xff, 0xfe, 0, 1])], &["binary.yaml"]);
    refused(&["flops", "--from", &file("no.json", b"{}")], &["not a detrace trace", "schema"]);
    refused(&["flops", "--from", &file("report.json", br#"{"schema": 1, "layers": []}"#)], &["--trace-out"]);
    refused(&["flops", "--from", &file("future.json", br#"{"schema": 2, "ops": []}"#)], &["schema 2"]);
    refused(&["flops", "--from", &file("binary.json", &[0xff, 0xfe])], &["binary.json"]);
}

#[test]
fn nothing_is_written_when_it_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.json");
    let out = out.to_str().expect("UTF-8");
    refused(&["flops", "rtdetr_r18vd", "--input", "1x3x33x33", "--output", out, "--trace-out", out], &[]);
    refused(&["flops", "rtdetr_r18vd", "--output", &format!("{out}/deep/x")], &["no folder"]);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

/// One forward pass, counted in every form.
#[test]
fn a_trace_is_counted_again_in_every_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.json");
    let trace = trace.to_str().expect("UTF-8");
    let output = detrace(&["flops", "rtdetr_r18vd", "--input", "1x3x320x352", "--trace-out", trace]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let overview = text(&output.stdout);
    for part in ["params 20,184,464", "Total Flops: ", "Total Params: 19358320", "uncalled"] {
        assert!(overview.contains(part), "{overview}");
    }
    assert!(!overview.contains("published:"), "figures for 640x640 were compared with another size");

    let again = |args: &[&str]| {
        let output = detrace(&[&["flops", "--from", trace], args].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let full: serde_json::Value = serde_json::from_str(&again(&["--format", "json"])).expect("JSON");
    let layers = full["layers"].as_array().expect("layers");
    let sum = |key: &str| layers.iter().map(|row| row[key].as_u64().expect("a number")).sum::<u64>();
    assert_eq!((full["total"].as_u64(), full["flops"].as_u64()), (Some(sum("count")), Some(sum("flops"))));
    assert_eq!(full["versions"]["paddle"], "3.3.1");
    let mut paths: Vec<&str> = layers.iter().map(|row| row["path"].as_str().expect("a path")).collect();
    let rows = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), rows, "a path stands twice");
    for role in
        ["self_attn#scores", "self_attn#mix", "cross_attn#sampling", "#residual", "#pos_embed", "#top_k", "#upsample.0"]
    {
        assert!(paths.iter().any(|path| path.contains(role)), "no record of {role}");
    }
    assert_eq!(again(&["--format", "csv"]).lines().count(), rows + 1);
    assert!(again(&["--detail"]).contains("decoder.decoder.layers.2.cross_attn#sampling"));
    assert!(again(&["--detail", "--names", "paddle"]).contains("transformer.enc_output.0"));
    assert!(again(&["--convention", "paddle", "--strict"]).contains("Total Params: 19358320"));

    // An operation that no convention knows is loud.
    let mut doctored: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(trace).expect("a trace")).expect("JSON");
    doctored["ops"][0]["kind"] = "swirl".into();
    std::fs::write(trace, doctored.to_string()).expect("writes");
    assert!(again(&[]).contains("unknown: no rule for"));
    let strict = detrace(&["flops", "--from", trace, "--strict"]);
    assert_eq!(strict.status.code(), Some(1), "{}", text(&strict.stderr));
    assert!(text(&strict.stderr).contains("has no rule for"));
}

#[test]
fn help_and_versions() {
    let help = text(&detrace(&["flops", "--help"]).stdout);
    for part in ["Examples:", "--from", "--trace-out", "--names", "--strict"] {
        assert!(help.contains(part), "{help}");
    }
    let version = text(&detrace(&["--version"]).stdout);
    assert!(version.contains("candle 0.11") && version.contains("paddlepaddle 3.3.1"), "{version}");
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).expect("a lock file");
    let candle = lock.split("name = \"candle-core\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    assert!(version.contains(&format!("candle {}", candle.expect("candle"))), "{version} is not {candle:?}");
    let models = text(&detrace(&["models"]).stdout);
    assert_eq!(models.lines().filter(|line| line.contains("rtdetr")).count(), 20, "{models}");
}

/// Figures that the real `paddle.flops` gave with the same rules on rtdetr_r18vd.
#[test]
fn custom_rules_give_paddles_figures() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.json");
    let trace = trace.to_str().expect("UTF-8");
    assert!(detrace(&["flops", "rtdetr_r18vd", "--trace-out", trace]).status.success());
    let total = |rule: &str| -> u64 {
        let output =
            detrace(&["flops", "--from", trace, "--convention", "paddle", "--format", "json", "--custom-op", rule]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        json["total"].as_u64().expect("a total")
    };
    assert_eq!(total("layer_norm=5*out"), 30_377_241_600);
    assert_eq!(total("batch_norm=0"), 30_268_825_600);
    assert_eq!(total("linear=2*macs"), 34_982_604_800);

    let output = detrace(&["flops", "--from", trace, "--convention", "paddle", "--custom-op", "matmul=macs"]);
    assert!(text(&output.stderr).contains("`paddle` cannot see any of its 8 calls"), "{}", text(&output.stderr));
    let output = detrace(&["flops", "--from", trace, "--custom-op", "swirl=1"]);
    assert!(text(&output.stderr).contains("no operation of that kind ran"));
    refused(&["flops", "--from", trace, "--custom-op", "relu=in-2*out"], &["which is no count"]);
    refused(&["flops", "--from", trace, "--custom-op", "relu=out/3"], &["which is no count"]);
    refused(&["flops", "--from", trace, "--custom-op", "relu=sze"], &["in, out, weight, macs"]);

    let tree = text(&detrace(&["flops", "--from", trace, "--format", "tree"]).stdout);
    assert!(tree.contains("#residual") && tree.contains("res_layers"), "{tree}");
    let markdown = text(&detrace(&["flops", "--from", trace, "--format", "markdown"]).stdout);
    assert!(markdown.contains("| `backbone.conv1.conv1_1.conv` | conv2d | 1 | 1x3x640x640 | 1x32x320x320 | 864 |"));
}

#[test]
fn a_real_input_is_read_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let run = |args: &[&str]| {
        let output = detrace(&[&["flops", "rtdetr_r18vd", "--format", "json", "--blob"], args].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        json["input"].clone()
    };
    let tensor = candle_core::Tensor::zeros((1, 3, 256, 288), candle_core::DType::F32, &candle_core::Device::Cpu)
        .expect("zeros");
    tensor.write_npy(path("x.npy")).expect("writes");
    assert_eq!(run(&[&path("x.npy")]), serde_json::json!([1, 3, 256, 288]));
    candle_core::safetensors::save(&std::collections::HashMap::from([("image", tensor)]), path("x.safetensors"))
        .expect("writes");
    assert_eq!(run(&[&path("x.safetensors")]), serde_json::json!([1, 3, 256, 288]));
    image::RgbImage::new(50, 40).save(path("x.png")).expect("writes");
    assert_eq!(run(&[&path("x.png"), "--input", "1x3x256x320"]), serde_json::json!([1, 3, 256, 320]));

    let refuse = |name: &str, parts: &[&str]| refused(&["flops", "rtdetr_r18vd", "--blob", &path(name)], parts);
    let wide = ["flops", "rtdetr_r18vd", "--blob", &path("x.png"), "--input", "1x3x3200000x3200000"];
    refused(&wide, &["MiB"]);
    refuse("missing.png", &["missing.png"]);
    std::fs::write(path("junk.jpg"), b"junk").expect("writes");
    refuse("junk.jpg", &["junk.jpg"]);
    std::fs::write(path("junk.dat"), b"junk").expect("writes");
    refuse("junk.dat", &["junk.dat", "no image"]);
    std::fs::write(path("junk.npy"), b"junk").expect("writes");
    refuse("junk.npy", &["junk.npy"]);
    let mut huge = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    huge.extend(
        format!("{:117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 640000, 6400000), }").bytes(),
    );
    std::fs::write(path("huge.npy"), &huge).expect("writes");
    refuse("huge.npy", &["more than its 128 bytes hold"]);
    std::fs::write(path("junk.safetensors"), b"junk").expect("writes");
    refuse("junk.safetensors", &["junk.safetensors"]);
}

/// A PaddleDetection yml with its bases gives the zoo's counts, and one edited by hand is counted as edited.
#[test]
fn users_configs_are_counted() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/configs");
    let params = |model: &str| -> (u64, u64) {
        let output = detrace(&["flops", model, "--input", "1x3x256x256", "--convention", "paddle", "--format", "json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (json["total"].as_u64().expect("a total"), json["params"].as_u64().expect("params"))
    };
    let zoo = params("rtdetr_r18vd");
    let base = configs.join("paddle/rtdetr_r18vd.yml");
    let base = base.to_str().expect("UTF-8");
    assert_eq!(params(base), zoo);

    let folder = tempfile::tempdir().expect("a folder");
    let edited = |name: &str, edit: &str| -> (u64, u64) {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("_BASE_: ['{base}']\n{edit}")).expect("writes");
        params(path.to_str().expect("UTF-8"))
    };
    // One more layer: two attention outputs, two sampling layers, the values, the network, three norms, and its box head.
    let attention = 2 * 65_792 + 49_344 + 24_672 + 65_792;
    let layer = attention + 263_168 + 262_400 + 3 * 512 + 2 * 65_792 + 1_028;
    assert_eq!(edited("layers.yml", "RTDETRTransformer:\n  num_decoder_layers: 4\n").1, zoo.1 + layer);
    assert!(edited("expansion.yml", "HybridEncoder:\n  expansion: 0.75\n").1 > zoo.1);
    assert!(edited("narrow.yml", "hidden_dim: 192\n").1 < zoo.1);
    let narrow = "hidden_dim: 192\nHybridEncoder:\n  hidden_dim: 192\n  encoder_layer:\n    name: TransformerLayer\n    d_model: 192\n    nhead: 8\n    dim_feedforward: 1024\n    dropout: 0.\n    activation: 'gelu'\n";
    assert!(edited("narrower.yml", narrow).1 < edited("narrow.yml", "hidden_dim: 192\n").1);
}
