//! Hugging Face's `config.json`.

mod common;

use common::{Folder, files, fixture, open, variant};
use detrace_config::{Backbone, Config, FeedForward, Sampling, Version, zoo};

#[test]
fn saved_configurations_are_the_zoos() {
    let mut names = Vec::new();
    for path in files(&fixture("hf"), "json") {
        let loaded = open(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.config, variant(&loaded.config.name), "{}", path.display());
        assert_eq!(loaded.warnings, [""; 0], "{}", path.display());
        names.push(loaded.config.name);
    }
    // What runs fewer layers than it has, and most of the discrete ones, differ in nothing that transformers has.
    let absent: Vec<&str> = zoo::names().filter(|name| !names.iter().any(|found| found == name)).collect();
    assert_eq!(
        absent,
        ["rtdetr_r50vd_m", "rtdetrv2_r34vd_dsp", "rtdetrv2_r50vd_dsp", "rtdetrv2_r50vd_m", "rtdetrv2_r50vd_m_dsp"]
    );
}

fn config(folder: &Folder, text: &str) -> Config {
    let loaded = folder.open("config.json", text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.warnings, [""; 0], "{text}");
    loaded.config
}

#[test]
fn absent_keys_take_transformers_defaults() {
    let folder = Folder::new();
    // A file without labels has two, and ResNet-50.
    let expected = Config { name: "config".into(), classes: 2, ..variant("rtdetr_r50vd") };
    assert_eq!(config(&folder, r#"{"model_type": "rt_detr"}"#), expected);
    assert_eq!(config(&folder, r#"{"model_type": "rt_detr", "backbone": null, "backbone_config": null}"#), expected);
    let expected = Config { name: "config".into(), classes: 2, ..variant("rtdetrv2_r50vd") };
    assert_eq!(config(&folder, r#"{"model_type": "rt_detr_v2"}"#), expected);
    let text =
        r#"{"model_type": "rt_detr", "backbone_config": {"model_type": "hgnet_v2", "out_indices": [-3, -2, -1]}}"#;
    let expected = Config { name: "config".into(), classes: 2, ..variant("rtdetr_hgnetv2_l") };
    assert_eq!(config(&folder, text), expected);
    // Of a backbone that says nothing about its outputs only the last stage is taken.
    let text = r#"{"model_type": "rt_detr", "backbone_config": {"model_type": "rt_detr_resnet"}}"#;
    let message = folder.short(folder.open("config.json", text).map(|loaded| loaded.config));
    assert!(message.contains("encode_proj_layers") || message.contains("[2] are not different levels"), "{message}");
}

#[test]
fn every_key_reaches_its_place() {
    let folder = Folder::new();
    let text = r#"{
        "model_type": "rt_detr_v2", "num_labels": 5, "id2label": {"0": "a", "1": "b", "2": "c", "3": "d", "4": "😀"},
        "backbone_config": {"model_type": "rt_detr_resnet", "out_features": ["stage3", "stage4"], "depths": [3, 4, 23, 3]},
        "freeze_backbone_batch_norms": false, "encoder_in_channels": [1024, 2048], "feat_strides": [16, 32],
        "encoder_hidden_dim": 192, "decoder_in_channels": [192, 192], "encoder_layers": 2, "encoder_ffn_dim": 512,
        "encoder_attention_heads": 4, "encode_proj_layers": [1], "positional_encoding_temperature": 20,
        "encoder_activation_function": "relu", "hidden_expansion": 0.75, "d_model": 320, "num_queries": 100,
        "decoder_ffn_dim": 640, "num_feature_levels": 2, "decoder_n_levels": 2, "decoder_n_points": 3,
        "decoder_layers": 4, "decoder_attention_heads": 10, "decoder_activation_function": "gelu",
        "learn_initial_query": true, "decoder_method": "discrete", "decoder_offset_scale": 0.25,
        "anchor_image_size": [480, 640]
    }"#;
    let config = config(&folder, text);
    assert_eq!((config.version, config.classes), (Version::V2, 5));
    assert_eq!(config.backbone, Backbone::ResnetVd { depth: 101, freeze_norm: false, return_idx: vec![2, 3] });
    let encoder = &config.encoder;
    assert_eq!((encoder.hidden_dim, encoder.layers, encoder.heads, encoder.dim_feedforward), (192, 2, 4, 512));
    assert_eq!((&encoder.use_encoder_idx[..], encoder.expansion, encoder.pe_temperature), (&[1][..], 0.75, 20.0));
    assert_eq!((encoder.activation, encoder.depth_mult), (FeedForward::Relu, 1.0));
    let decoder = &config.decoder;
    assert_eq!((decoder.hidden_dim, decoder.queries, decoder.layers, decoder.heads), (320, 100, 4, 10));
    assert_eq!((decoder.dim_feedforward, decoder.levels, &decoder.points[..]), (640, 2, &[3, 3][..]));
    assert_eq!((decoder.sampling, decoder.offset_scale), (Sampling::Discrete, 0.25));
    assert_eq!((decoder.activation, decoder.learn_query_content), (FeedForward::Gelu, true));
    assert_eq!(config.preprocess.size, [480, 640]);
    assert_eq!(config.labels, ["a", "b", "c", "d", "😀"]);
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let folder = Folder::new();
    for (text, part) in [
        (r#"{"model_type": "d_fine"}"#, "model_type: d_fine is not built; rt_detr and rt_detr_v2 are"),
        (r#"{"model_type": "rt_detr", "backbone": "resnet50d"}"#, "\"resnet50d\" is a backbone by name"),
        (r#"{"model_type": "rt_detr", "backbone_config": {"model_type": "swin"}}"#, "swin is not built"),
        (r#"{"model_type": "rt_detr", "backbone_config": {}}"#, "model_type is not given"),
        (r#"{"model_type": "rt_detr", "normalize_before": true}"#, "normalize_before: true is not built; false is"),
        (r#"{"model_type": "rt_detr", "layer_norm_eps": 1e-6}"#, "layer_norm_eps: 0.000001 is not built"),
        (
            r#"{"model_type": "rt_detr", "activation_function": "relu"}"#,
            "activation_function: relu is not built; silu is",
        ),
        (r#"{"model_type": "rt_detr", "decoder_activation_function": "gelu_new"}"#, "\"gelu_new\" is not built"),
        (r#"{"model_type": "rt_detr", "eval_size": [640, 640]}"#, "leaves out the positional embedding"),
        (r#"{"model_type": "rt_detr", "d_model": 256, "hidden_size": 192}"#, "192 contradicts d_model 256"),
        (r#"{"model_type": "rt_detr", "encoder_hidden_dim": 192}"#, "decoder_in_channels: [256, 256, 256] contradicts"),
        (
            r#"{"model_type": "rt_detr", "num_labels": 3, "id2label": {"0": "a"}}"#,
            "3 contradicts id2label, which has 1",
        ),
        (r#"{"model_type": "rt_detr_v2", "decoder_n_levels": 4}"#, "4 contradicts num_feature_levels 3"),
        (r#"{"model_type": "rt_detr", "num_feature_levels": 5}"#, "num_feature_levels: 5 is not built for 3 levels"),
        (r#"{"model_type": "rt_detr_v2", "decoder_method": "fast"}"#, "fast is neither default nor discrete"),
        (r#"{"model_type": "rt_detr", "feat_strides": [4, 8, 16]}"#, "whose strides are [8, 16, 32]"),
        (
            r#"{"model_type": "rt_detr", "decoder_layerz": 4}"#,
            "decoder_layerz is not a known key; did you mean decoder_layers?",
        ),
    ] {
        let message = folder.short(folder.open("config.json", text).map(|loaded| loaded.config));
        assert!(message.starts_with("config.json:1: ") && message.contains(part), "{part} in {message}");
    }
    for (keys, part) in [
        (r#""depths": [3, 8, 36, 3]"#, "[3, 8, 36, 3] of layer_type bottleneck is not built; [2, 2, 2, 2] and"),
        (r#""layer_type": "basic", "depths": [2, 2, 2, 2]"#, "is not built for ResNet-18; [64, 128, 256, 512] is"),
        (r#""embedding_size": 32"#, "embedding_size: 32 is not built; 64 is"),
        (r#""downsample_in_bottleneck": true"#, "downsample_in_bottleneck: true is not built"),
        (r#""downsample_in_first_stage": true"#, "downsample_in_first_stage: true is not built"),
        (r#""hidden_act": "gelu""#, "hidden_act: gelu is not built; relu is"),
        (r#""out_features": ["stage1"]"#, "they are not the stages of out_features"),
        (r#""layer_typ": "basic""#, "backbone_config.layer_typ is not a known key; did you mean layer_type?"),
    ] {
        let text = format!(
            "{{\n\"model_type\": \"rt_detr\",\n\"backbone_config\": {{\"model_type\": \"rt_detr_resnet\", \"out_indices\": [2, 3, 4],\n{keys}}}}}"
        );
        let message = folder.short(folder.open("config.json", &text).map(|loaded| loaded.config));
        assert!(message.contains(part), "{part} in {message}");
    }
    let stages = r#"{"model_type": "rt_detr", "backbone_config": {"model_type": "hgnet_v2", "out_indices": [2, 3, 4], "stage_num_blocks": [1, 1, 2, 1]}}"#;
    let message = folder.short(folder.open("config.json", stages).map(|loaded| loaded.config));
    assert!(message.contains("no published HGNetv2; L, X and H are built"), "{message}");
}

#[test]
fn errors_name_the_line() {
    let folder = Folder::new();
    let text = "{\n  \"model_type\": \"rt_detr\",\n  \"decoder_attention_heads\": 7,\n  \"num_queries\": \"many\"\n}";
    assert_eq!(
        folder.short(folder.open("config.json", text).map(|loaded| loaded.config)),
        "config.json:4: num_queries: \"many\" is not a whole number"
    );
    assert_eq!(
        folder.short(folder.open("config.json", text.replace("\"many\"", "300")).map(|loaded| loaded.config)),
        "config.json:3: decoder_attention_heads: 7 does not divide hidden_dim 256"
    );
}

#[test]
fn keys_of_other_tools_are_warned_about() {
    let folder = Folder::new();
    let text = r#"{"model_type": "rt_detr", "torch_dtype": "float32", "quantization_config": {"bits": 8},
                   "decoder_method": "discrete", "encoder_in_channels": [1, 2, 3], "use_timm_backbone": false}"#;
    let loaded = folder.open("config.json", text).expect("only warnings");
    assert_eq!(loaded.config.decoder.sampling, Sampling::Default);
    let [channels, ignored] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
    assert!(channels.contains("the backbone's [512, 1024, 2048] hold"), "{channels}");
    assert!(ignored.ends_with("ignored, as transformers does: decoder_method, quantization_config"), "{ignored}");
}
