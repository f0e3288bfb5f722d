//! PaddleDetection's ymls.

mod common;

use std::path::Path;

use common::{Folder, files, fixture, open};
use detrace_config::{Backbone, Config, FeedForward, Resize, Sampling, Version, zoo};

/// The zoo's variant as PaddleDetection has it: its readers resize with OpenCV.
fn variant(name: &str) -> Config {
    let mut config = common::variant(name);
    config.preprocess.resize = match config.version {
        Version::V1 => Resize::OpencvBicubic,
        Version::V2 => Resize::OpencvBilinear,
    };
    config
}

#[test]
fn every_variant_is_the_zoos() {
    let mut names = Vec::new();
    for path in files(&fixture("paddle"), "yml") {
        let loaded = open(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.config, variant(&loaded.config.name), "{}", path.display());
        assert_eq!(loaded.warnings, [""; 0], "{}", path.display());
        names.push(loaded.config.name);
    }
    assert_eq!(names, zoo::names().collect::<Vec<_>>(), "a variant has no fixture");
}

/// Runs on a checkout of PaddleDetection, where there is one.
#[test]
fn a_checkout_of_paddledetection_is_the_zoo() {
    let Some(checkout) = std::env::var_os("DETRACE_PADDLEDETECTION") else { return };
    let (mut read, mut refused) = (0, 0);
    for folder in ["configs/rtdetr", "configs/rtdetrv2"] {
        for path in files(&Path::new(&checkout).join(folder), "yml") {
            let stem = path.file_stem().expect("stem").to_str().expect("UTF-8").to_owned();
            let absent = [("swin", "SwinTransformer"), ("focalnet", "FocalNet")];
            if let Some((_, backbone)) = absent.iter().find(|(part, _)| stem.contains(part)) {
                let error = open(&path).expect_err("not built").to_string();
                assert!(error.contains(&format!("DETR.backbone: {backbone} is not built")), "{error}");
                refused += 1;
                continue;
            }
            let name = zoo::names()
                .filter(|name| stem.starts_with(&format!("{name}_")))
                .max_by_key(|name| name.len())
                .unwrap_or_else(|| panic!("{stem} is not in the zoo"));
            let loaded = open(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(loaded.config, Config { name: stem, ..variant(name) });
            assert_eq!(loaded.warnings, [""; 0]);
            read += 1;
        }
    }
    assert!(read >= 17 && refused == 2, "{read} read, {refused} refused");
}

#[test]
fn edits_by_hand_are_taken() {
    let folder = Folder::new();
    let r50 = variant("rtdetr_r50vd");
    let config = |text: &str| folder.over("rtdetr_r50vd.yml", text).unwrap_or_else(|error| panic!("{error}")).config;

    let mut expected = r50.clone();
    expected.name = "edited".into();
    assert_eq!(config(""), expected);

    let mut layers = expected.clone();
    layers.decoder.layers = 4;
    assert_eq!(config("RTDETRTransformer: {num_decoder_layers: 4}\n"), layers);

    let mut expansion = expected.clone();
    expansion.encoder.expansion = 0.75;
    assert_eq!(config("HybridEncoder: {expansion: 0.75}\n"), expansion);
    assert_eq!(expansion.encoder.csp_channels(), 192);

    // The top-level hidden_dim is the decoder's; the encoder has its own.
    let mut decoder = expected.clone();
    decoder.decoder.hidden_dim = 192;
    assert_eq!(config("hidden_dim: 192\n"), decoder);
    let mut encoder = expected.clone();
    encoder.encoder.hidden_dim = 192;
    assert_eq!(config("HybridEncoder: {hidden_dim: 192, encoder_layer: {d_model: 192}}\n"), encoder);
    let mut own = expected.clone();
    own.decoder.hidden_dim = 320;
    assert_eq!(config("hidden_dim: 192\nRTDETRTransformer: {hidden_dim: 320}\n"), own);
    assert_eq!(config("hidden_dim: 192\nRTDETRTransformer: {hidden_dim: null}\n"), decoder);

    let mut classes = expected.clone();
    classes.classes = 7;
    assert_eq!(config("num_classes: 7\n"), classes);
    assert_eq!(config("num_classes: 9\nRTDETRTransformer: {num_classes: 7}\n"), classes);

    let mut depth = expected.clone();
    depth.encoder.depth_mult = 0.67;
    assert_eq!(config("depth_mult: 0.67\n"), depth);
    assert_eq!(config("depth_mult: 2.0\nHybridEncoder: {depth_mult: 0.67}\n"), depth);

    // Numbers as PyYAML reads them.
    assert_eq!(config("RTDETRTransformer: {num_decoder_layers: 4, dim_feedforward: 02000}\n"), layers);
    assert_eq!(config("RTDETRTransformer: {num_decoder_layers: 0x4, learnt_init_query: no}\n"), layers);

    let mut size = expected.clone();
    size.preprocess.size = [512, 768];
    assert_eq!(config("eval_size: [512, 768]\n"), size);
}

#[test]
fn absent_keys_take_the_constructors_defaults() {
    let folder = Folder::new();
    let loaded = folder
        .open(
            "bare.yml",
            "architecture: DETR\n\
             DETR: {backbone: PPHGNetV2, neck: HybridEncoder, transformer: RTDETRTransformerv2, detr_head: DINOHead}\n\
             PPHGNetV2: {arch: L}\n\
             HybridEncoder: {encoder_layer: {name: TransformerLayer, d_model: 256, nhead: 4}}\n",
        )
        .unwrap_or_else(|error| panic!("{error}"));
    let mut expected = variant("rtdetrv2_hgnetv2_l");
    expected.name = "bare".into();
    expected.encoder.heads = 4;
    expected.encoder.activation = FeedForward::Relu;
    expected.decoder.learn_query_content = true;
    assert_eq!(loaded.config, expected);
    assert_eq!(loaded.warnings, [""; 0]);

    let config = folder.over(
        "base/v1.yml",
        "TransformerLayer: {dim_feedforward: 512, activation: relu}\nResNet: {freeze_norm: False}\n",
    );
    let config = config.unwrap_or_else(|error| panic!("{error}")).config;
    assert_eq!(config.encoder.dim_feedforward, 1024, "encoder_layer overrides the section of its class");
    assert_eq!(config.encoder.activation, FeedForward::Gelu);
    assert!(!config.backbone.freeze_norm());

    // The constructor's ResNet has four levels and plain shortcuts: neither is RT-DETR's.
    let bare = "architecture: DETR\n\
                DETR: {backbone: ResNet, neck: HybridEncoder, transformer: RTDETRTransformer, detr_head: DINOHead}\n\
                HybridEncoder: {encoder_layer: {name: TransformerLayer, d_model: 256, nhead: 8}}\n";
    let message = folder.short(folder.open("bare.yml", bare).map(|loaded| loaded.config));
    assert_eq!(message, "bare.yml:1: ResNet.variant: b, the default where the key is absent, is not built; d is");
    let message =
        folder.short(folder.open("bare.yml", format!("{bare}ResNet: {{variant: d}}\n")).map(|loaded| loaded.config));
    assert!(message.contains("3 levels are fewer than the backbone's 4"), "{message}");
}

#[test]
fn v2_takes_points_by_level() {
    let folder = Folder::new();
    let config = |text: &str| folder.over("rtdetrv2_r18vd.yml", text).unwrap_or_else(|error| panic!("{error}")).config;
    let edited = config("RTDETRTransformerv2: {num_decoder_points: [8, 4, 2], cross_attn_sampling_method: discrete}\n");
    assert_eq!((edited.version, edited.decoder.sampling), (Version::V2, Sampling::Discrete));
    assert_eq!(edited.decoder.points, [8, 4, 2]);
    assert_eq!(config("RTDETRTransformerv2: {num_decoder_points: 6}\n").decoder.points, [6, 6, 6]);
    assert_eq!(
        folder.refusal("rtdetrv2_r18vd.yml", "RTDETRTransformerv2: {num_decoder_points: [4, 4]}\n"),
        "edited.yml:2: RTDETRTransformerv2.num_decoder_points: [4, 4] does not have one entry for each of the 3 levels"
    );
    assert_eq!(
        folder.refusal("rtdetr_r18vd.yml", "RTDETRTransformer: {num_decoder_points: [4, 4, 4]}\n"),
        "edited.yml:2: RTDETRTransformer.num_decoder_points: [4, 4, 4] is not a whole number"
    );
}

#[test]
fn levels_below_the_backbones_last_are_taken() {
    let folder = Folder::new();
    let config = folder.over("rtdetr_r50vd.yml", "RTDETRTransformer: {num_levels: 4}\n").expect("four levels").config;
    assert_eq!((config.decoder.levels, &config.decoder.points[..]), (4, &[4, 4, 4, 4][..]));
    let text = "ResNet: {return_idx: [2, 3]}\nHybridEncoder: {use_encoder_idx: [1]}\n\
                RTDETRTransformer: {num_levels: 2, feat_strides: [16, 32]}\n";
    let config = folder.over("rtdetr_r50vd.yml", text).expect("two levels").config;
    assert_eq!(config.backbone.strides(), [16, 32]);
}

#[test]
fn the_chain_is_merged_in_order() {
    let folder = Folder::new();
    let base = fixture("paddle/rtdetr_r50vd.yml");
    folder.write(
        "a.yml",
        format!("_BASE_: [{base:?}]\nRTDETRTransformer: {{num_queries: 100, nhead: 4}}\nResNet: {{depth: 101}}\n"),
    );
    folder.write("sub/b.yml", "RTDETRTransformer: {num_queries: 200}\nnum_classes: 3\n");
    let config = folder.open("top.yml", "_BASE_: [a.yml, sub/b.yml]\nnum_classes: 5\n").expect("chain").config;
    assert_eq!((config.decoder.queries, config.decoder.heads, config.classes), (200, 4, 5));
    assert!(matches!(config.backbone, Backbone::ResnetVd { depth: 101, .. }));
    // The other way round, a.yml and its own bases come last.
    let config = folder.open("top.yml", "_BASE_: [sub/b.yml, a.yml]\n").expect("chain").config;
    assert_eq!((config.decoder.queries, config.classes), (100, 80));
    // One file may be the base of two.
    folder.write("c.yml", "_BASE_: [a.yml]\n");
    assert!(folder.open("top.yml", "_BASE_: [a.yml, c.yml]\n").is_ok());
    // One name instead of a list, and anchors.
    let text = "_BASE_: a.yml\nheads: &heads {nhead: 2}\nRTDETRTransformer: {<<: *heads}\n";
    assert_eq!(folder.open("top.yml", text).expect("one base").config.decoder.heads, 2);
}

#[test]
fn bases_that_only_train_may_be_missing() {
    let folder = Folder::new();
    let v1 = std::fs::read_to_string(fixture("paddle/base/v1.yml")).expect("fixture");
    let common = std::fs::read_to_string(fixture("paddle/base/common.yml")).expect("fixture");
    folder.write("base/v1.yml", v1);
    folder.write("base/common.yml", common);
    let loaded =
        folder.open("mine.yml", "_BASE_: [../runtime.yml, base/v1.yml]\n").unwrap_or_else(|error| panic!("{error}"));
    let expected = Config { name: "mine".into(), ..variant("rtdetr_r50vd") };
    assert_eq!(loaded.config, expected);
    let [missing, classes] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
    for base in ["runtime.yml", "coco.yml", "run.yml", "schedule.yml", "reader.yml"] {
        assert!(missing.contains(base), "{missing}");
    }
    assert!(classes.contains("nothing gives num_classes; 80 are taken"), "{classes}");

    // A backbone that is not built is named all the same.
    assert_eq!(
        folder.short(
            folder.open("mine.yml", "_BASE_: [gone.yml]\nDETR: {backbone: FocalNet}\n").map(|loaded| loaded.config)
        ),
        "mine.yml:2: DETR.backbone: FocalNet is not built; ResNet or PPHGNetV2 is"
    );

    // With the base of the network missing, the sizes in the user's file are not the network's.
    let text = "_BASE_: [\n  ../runtime.yml,\n  base/gone.yml,\n]\nResNet: {depth: 18}\n";
    assert_eq!(
        folder.short(folder.open("mine.yml", text).map(|loaded| loaded.config)),
        "mine.yml:2: _BASE_: there is no file ../runtime.yml, base/gone.yml, and the others do not give `architecture`"
    );
    let text = "_BASE_: [base/gone.yml]\narchitecture: DETR\n\
                DETR: {backbone: ResNet, neck: HybridEncoder, transformer: RTDETRTransformer}\nResNet: {depth: 18}\n";
    assert_eq!(
        folder.short(folder.open("mine.yml", text).map(|loaded| loaded.config)),
        "mine.yml:1: _BASE_: there is no file base/gone.yml, and the others do not give a HybridEncoder section"
    );
}

#[test]
fn unread_sections_are_warned_about() {
    let folder = Folder::new();
    let text = "RTDETRTransformerv2: {num_decoder_layers: 3}\nHybridEncodr:\n  expansion: 0.75\n\
                num_class: 3\nnum_classes: 80\nnum_classes: 4\n";
    let loaded = folder.over("rtdetr_r50vd.yml", text).expect("only warnings");
    assert_eq!(loaded.config.classes, 4);
    let warnings = loaded.warnings.join("\n");
    for part in [
        "edited.yml:7: num_classes is given twice, first in line 6",
        "edited.yml:2: RTDETRTransformerv2 is not a part of this network",
        "edited.yml:3: HybridEncodr is not read; did you mean HybridEncoder?",
        "edited.yml:5: num_class is not read; did you mean num_classes?",
    ] {
        assert!(warnings.contains(part), "{part} in {warnings}");
    }
    assert_eq!(loaded.warnings.len(), 4, "{warnings}");
}

#[test]
fn the_test_reader_gives_the_preprocessing() {
    let folder = Folder::new();
    let reader = |text: &str| {
        let text = format!("eval_size: null\nTestReader:\n  sample_transforms:\n    - Decode: {{}}\n    - {text}\n");
        folder.over("rtdetr_r50vd.yml", &text).unwrap_or_else(|error| panic!("{error}"))
    };
    let preprocess = reader("Resize: {target_size: [800, 608], keep_ratio: False}").config.preprocess;
    assert_eq!((preprocess.size, preprocess.resize), ([800, 608], Resize::OpencvBilinear));
    let preprocess = reader("Resize: {target_size: [640, 640], keep_ratio: False, interp: 2}").config.preprocess;
    assert_eq!((preprocess.size, preprocess.resize), ([640, 640], Resize::OpencvBicubic));
    let preprocess = reader("NormalizeImage: {is_scale: false, norm_type: none}").config.preprocess;
    assert_eq!((preprocess.scale, preprocess.mean), (1.0, [0.0; 3]));
    let loaded = reader("NormalizeImage: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.1], is_scale: true}");
    assert_eq!(loaded.config.preprocess.mean, [0.5, 0.4, 0.3]);
    assert_eq!(loaded.config.preprocess.std, [0.2, 0.2, 0.1]);
    assert_eq!(loaded.warnings, [""; 0]);
    for odd in [
        "Resize: {target_size: [800, 608], keep_ratio: True}",
        "Resize: {target_size: [700, 700], keep_ratio: False}",
        "Resize: {target_size: 1e300}",
        "NormalizeImage: {mean: [0.5], std: [0.2]}",
        "NormalizeImage: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.0]}",
        "NormalizeImage: {is_scale: false}",
        "Resize: {target_size: [640, 640], keep_ratio: False, interp: 3}",
    ] {
        let loaded = reader(odd);
        assert_eq!(loaded.config.preprocess, variant("rtdetr_r50vd").preprocess, "{odd}");
        assert_eq!(loaded.warnings.len(), 1, "{odd}: {:?}", loaded.warnings);
    }
}
