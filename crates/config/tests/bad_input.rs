//! Files that are no configurations, or mean ones: an error that names file and line, soon, and no panic.

mod common;

use std::time::Instant;

use common::{Folder, fixture};
use detrace_config::{Config, ConfigError, Loaded};
use proptest::prelude::*;

const BASE: &str = "rtdetr_r50vd.yml";

#[test]
fn unknown_keys_name_the_line() {
    let folder = Folder::new();
    for (text, message) in [
        (
            "HybridEncoder:\n  hidden_dim: 256\n  expnsion: 0.75\n",
            "edited.yml:4: HybridEncoder.expnsion is not a known key; did you mean expansion?",
        ),
        ("ResNet: {depht: 18}\n", "edited.yml:2: ResNet.depht is not a known key; did you mean depth?"),
        (
            "HybridEncoder:\n  encoder_layer:\n    n_head: 4\n",
            "edited.yml:4: HybridEncoder.encoder_layer.n_head is not a known key; did you mean nhead?",
        ),
        (
            "RTDETRTransformer:\n\n  cross_attn_sampling_method: discrete\n",
            "edited.yml:4: RTDETRTransformer.cross_attn_sampling_method is not a known key; it takes ",
        ),
        ("DETR: {masks: 1}\n", "edited.yml:2: DETR.masks is not a known key; it takes "),
        ("DINOHead: {lose: 1}\n", "edited.yml:2: DINOHead.lose is not a known key; did you mean loss?"),
    ] {
        let found = folder.refusal(BASE, text);
        assert!(found.starts_with(message), "{message}\n{found}");
    }
    // A base's line is named as the base's.
    folder.write("base.yml", "num_classes: 3\nHybridEncoder: {expnsion: 1.0}\n");
    let text = format!("_BASE_: [{:?}, base.yml]\n", fixture("paddle").join(BASE));
    let message = folder.short(folder.open("top.yml", text).map(|loaded| loaded.config));
    assert!(message.starts_with("base.yml:2: HybridEncoder.expnsion"), "{message}");
}

#[test]
fn networks_that_are_not_built_are_refused_by_name() {
    let folder = Folder::new();
    for (text, message) in [
        ("DETR: {backbone: SwinTransformer}\n", "DETR.backbone: SwinTransformer is not built; ResNet or PPHGNetV2 is"),
        ("DETR: {backbone: FocalNet}\n", "DETR.backbone: FocalNet is not built"),
        ("DETR: {neck: MaskHybridEncoder}\n", "DETR.neck: MaskHybridEncoder is not built; HybridEncoder is"),
        ("DETR: {neck: null}\n", "DETR.neck: null is not a name"),
        ("DETR: {transformer: DINOTransformer}\n", "DETR.transformer: DINOTransformer is not built"),
        ("DETR: {detr_head: MaskDINOHead}\n", "DETR.detr_head: MaskDINOHead is not built; DINOHead is"),
        ("with_mask: True\n", "edited.yml:2: with_mask: true is not built; false is"),
        ("architecture: YOLOv3\n", "architecture: YOLOv3 is not RT-DETR; PaddleDetection's is DETR"),
        ("ResNet: {variant: b}\n", "ResNet.variant: b is not built; d is"),
        ("ResNet: {depth: 152}\n", "ResNet.depth: 152 is not one of 18, 34, 50, 101"),
        ("ResNet: {groups: 32}\n", "ResNet.groups: 32 is not built; 1 is"),
        ("ResNet: {base_width: 4}\n", "ResNet.base_width: 4 is not built; 64 is"),
        ("ResNet: {ch_in: 32}\n", "ResNet.ch_in: 32 is not built; 64 is"),
        ("ResNet: {num_stages: 3}\n", "ResNet.num_stages: 3 is not built; 4 is"),
        ("ResNet: {std_senet: True}\n", "ResNet.std_senet: true is not built; false is"),
        (
            "ResNet: {dcn_v2_stages: [1, 2, 3]}\n",
            "ResNet.dcn_v2_stages: [1, 2, 3]: deformable convolutions are not built",
        ),
        ("ResNet: {norm_type: gn}\n", "ResNet.norm_type: gn is not built"),
        ("DETR: {backbone: PPHGNetV2}\nPPHGNetV2: {arch: M}\n", "PPHGNetV2.arch: M is not built; L, X and H are"),
        ("DETR: {backbone: PPHGNetV2}\nPPHGNetV2: {arch: L, use_lab: True}\n", "PPHGNetV2.use_lab: true is not built"),
        ("DETR: {backbone: PPHGNetV2}\nPPHGNetV2: {}\n", "PPHGNetV2: arch is not given; it is L, X or H"),
        ("HybridEncoder: {act: mish}\n", "HybridEncoder.act: mish is not built; silu is"),
        ("act: {name: mish}\n", "edited.yml:2: act: mish is not built; silu is"),
        (
            "HybridEncoder: {encoder_layer: {normalize_before: True}}\n",
            "encoder_layer.normalize_before: true is not built",
        ),
        ("HybridEncoder: {encoder_layer: {name: OtherLayer}}\n", "encoder_layer: \"OtherLayer\" is not built"),
        (
            "HybridEncoder: {encoder_layer: {activation: silu}}\n",
            "activation: \"silu\" is not built; relu and gelu are",
        ),
        ("RTDETRTransformer: {query_pos_head_inv_sig: True}\n", "query_pos_head_inv_sig: true is not built; false is"),
        ("RTDETRTransformer: {eps: 0.05}\n", "RTDETRTransformer.eps: 0.05 is not built; 0.01 is"),
    ] {
        let found = folder.refusal(BASE, text);
        assert!(found.starts_with("edited.yml:") && found.contains(message), "{message}\n{found}");
    }
}

#[test]
fn contradictions_are_refused() {
    let folder = Folder::new();
    for (text, message) in [
        (
            "HybridEncoder: {hidden_dim: 192}\n",
            "edited.yml:2: HybridEncoder: hidden_dim 192 and encoder_layer.d_model 256 contradict each other",
        ),
        (
            "HybridEncoder: {encoder_layer: {nhead: 7}}\n",
            "edited.yml:2: HybridEncoder.encoder_layer.nhead: 7 does not divide",
        ),
        ("hidden_dim: 100\n", "nhead: 8 does not divide hidden_dim 100"),
        (
            "RTDETRTransformer: {eval_idx: 6}\n",
            "edited.yml:2: RTDETRTransformer.eval_idx: 6 is not one of the 6 layers",
        ),
        ("RTDETRTransformer: {num_levels: 2}\n", "edited.yml:2: RTDETRTransformer.num_levels: 2 levels are fewer than"),
        (
            "RTDETRTransformer: {feat_strides: [8, 16]}\n",
            "edited.yml:2: RTDETRTransformer.feat_strides: [8, 16] contradicts",
        ),
        (
            "RTDETRTransformer: {eval_size: [320, 320]}\n",
            "eval_size: [320, 320] contradicts HybridEncoder.eval_size [640, 640]",
        ),
        (
            "eval_size: [630, 640]\n",
            "edited.yml:2: eval_size: input 1x3x630x640: height and width must be multiples of 32",
        ),
        (
            "HybridEncoder: {use_encoder_idx: [3]}\n",
            "edited.yml:2: HybridEncoder.use_encoder_idx: [3] are not different levels",
        ),
        (
            "ResNet: {return_idx: [1, 3]}\n",
            "edited.yml:2: ResNet.return_idx: [1, 3] is not a run of consecutive stages",
        ),
        ("DINOHead: {eval_idx: 3}\n", "DINOHead.eval_idx: 3 is not the one output"),
        ("ResNet:\n", "edited.yml:2: ResNet: null is not a section"),
        ("DETR: [ResNet]\n", "DETR: [\"ResNet\"] is not a section"),
        ("TransformerLayer: 3\n", "TransformerLayer is 3, not a mapping"),
    ] {
        let found = folder.refusal(BASE, text);
        assert!(found.contains(message), "{message}\n{found}");
    }
}

#[test]
fn bases_that_cannot_be_read_are_refused() {
    let folder = Folder::new();
    folder.write("b.yml", "x: 1\n_BASE_: [a.yml]\n");
    let refusal = |name: &str, text: &str| folder.short(folder.open(name, text).map(|loaded| loaded.config));
    assert_eq!(
        refusal("a.yml", "_BASE_: [b.yml]\n"),
        "b.yml:2: _BASE_: a.yml is read already; a file cannot be its own base, directly or by others"
    );
    assert!(refusal("c.yml", "_BASE_: [./c.yml]\n").starts_with("c.yml:1: _BASE_: ./c.yml is read already"));
    assert!(refusal("c.yml", "_BASE_: [3]\n").starts_with("c.yml:1: _BASE_: 3 is not the name of a file"));
    assert!(refusal("c.yml", "_BASE_:\n").starts_with("c.yml:1: _BASE_: null is not the name of a file"));
    assert!(refusal("c.yml", "_BASE_: [.]\n").contains("it is a folder"));
    folder.write("list.yml", "- 1\n");
    assert_eq!(
        refusal("c.yml", "_BASE_: [list.yml]\n"),
        "list.yml:1: the file is [1], not a mapping of keys to values"
    );
    folder.write("empty.yml", "");
    assert_eq!(refusal("c.yml", "_BASE_: [empty.yml]\n"), "empty.yml:1: the file is empty");
    folder.write("latin.yml", b"name: \xe9\n");
    assert!(refusal("c.yml", "_BASE_: [latin.yml]\n").starts_with("cannot read latin.yml: "));
    folder.write("large.yml", vec![b' '; (1 << 20) + 1]);
    assert!(refusal("c.yml", "_BASE_: [large.yml]\n").contains("too many for a configuration"));

    for depth in 0..40 {
        folder.write(&format!("deep{depth}.yml"), format!("_BASE_: [deep{}.yml]\n", depth + 1));
    }
    assert!(refusal("c.yml", "_BASE_: [deep0.yml]\n").contains("more than 16 files deep"));
    // Each file names the next twice: 2^10 reads, were they not counted.
    for depth in 0..10 {
        folder.write(&format!("wide{depth}.yml"), format!("_BASE_: [wide{0}.yml, wide{0}.yml]\n", depth + 1));
    }
    folder.write("wide10.yml", "x: 1\n");
    assert!(refusal("c.yml", "_BASE_: [wide0.yml]\n").contains("more than 64 files"));
}

#[test]
fn broken_files_are_refused_with_a_line() {
    let folder = Folder::new();
    let text = |name: &str| std::fs::read_to_string(fixture("paddle/base").join(name)).expect("fixture");
    let first_line = |text: String| text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned());
    let whole = first_line(text("common.yml")) + &first_line(text("v1.yml"));
    let mut bomb = String::from("architecture: DETR\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let copies = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{copies}]\n");
    }
    let start = Instant::now();
    for (name, text, message) in [
        ("cut.yml", "architecture: DETR\nDETR: {backbone: ResNet,\n", "cut.yml:"),
        ("cut.yml", "architecture: DETR\nResNet:\n  variant: 'd\n", "cut.yml:3: unclosed quote"),
        ("tab.yml", "architecture: DETR\nResNet:\n\tdepth: 18\n", "tab.yml:3: tabs disallowed"),
        ("bomb.yml", &bomb, "bomb.yml:"),
        ("self.yml", "architecture: &a [*a]\n", "self.yml:1: "),
        ("deep.yml", &"[".repeat(100_000), "deep.yml:1: "),
        ("deep.json", &("[".repeat(100_000) + &"]".repeat(100_000)), "deep.json:1: "),
        ("two.yml", "architecture: DETR\n---\narchitecture: DETR\n", "two.yml:2: "),
        ("zero.yml", "architecture: \0\n", "zero.yml:1: "),
        ("list.yml", "? [architecture]\n: DETR\n", "list.yml:1: a key must be a name, not a list"),
        ("empty.yml", "", "empty.yml:1: the file is empty"),
        ("text.yml", "architecture\n", "text.yml:1: the file is \"architecture\", not a mapping"),
        ("array.json", "[{\"model_type\": \"rt_detr\"}]", "array.json:1: the file is a list of 1, not a mapping"),
        ("text.json", "\"rt_detr\"", "text.json:1: the file is \"rt_detr\", not a mapping"),
        ("cut.json", "{\"model_type\": \"rt_detr\",\n\"d_model\":", "cut.json:2: this is not JSON: EOF while parsing"),
        ("comma.json", "{\"model_type\": \"rt_detr\",\n}", "comma.json:2: this is not JSON: key must be a string"),
        ("yaml.json", "model_type: rt_detr\n", "yaml.json:1: this is not JSON"),
        ("other.yml", "epoch: 12\n", "other.yml: this is no configuration of a detector"),
        (
            "torch.yml",
            "__include__: ['a.yml']\nRTDETR: {}\n",
            "torch.yml: this is a configuration of the official PyTorch",
        ),
    ] {
        let found = folder.short(folder.open(name, text).map(|loaded| loaded.config));
        assert!(found.starts_with(message), "{message}\n{found}");
    }
    let found = folder.short(folder.open("bomb.yml", &bomb).map(|loaded| loaded.config));
    assert!(found.contains("alias replay limit exceeded: total_replayed_events=20001"), "{found}");
    // A file that is cut off between two keys is still YAML, so it may be a network; it must not be a panic.
    let mut networks = 0;
    for cut in 0..whole.len() {
        match folder.open("cut.yml", &whole[..cut]) {
            Ok(_) => networks += 1,
            Err(error) => assert!(error.to_string().contains("cut.yml"), "{cut}: {error}"),
        }
    }
    assert!((1..whole.len() / 3).contains(&networks), "{networks} of {}", whole.len());
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn huge_numbers_are_refused() {
    let folder = Folder::new();
    let huge = [
        "-1",
        "0",
        "1e30",
        "1.5",
        "true",
        "'8'",
        "[]",
        "{}",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999999999999999999999",
        ".inf",
        ".nan",
        "1e999",
        "4611686018427387904",
    ];
    for value in huge {
        for (section, key) in [
            ("ResNet", "depth"),
            ("HybridEncoder", "hidden_dim"),
            ("HybridEncoder.encoder_layer", "d_model"),
            ("HybridEncoder.encoder_layer", "nhead"),
            ("HybridEncoder.encoder_layer", "dim_feedforward"),
            ("RTDETRTransformer", "hidden_dim"),
            ("RTDETRTransformer", "num_classes"),
            ("RTDETRTransformer", "num_queries"),
            ("RTDETRTransformer", "num_levels"),
            ("RTDETRTransformer", "num_decoder_layers"),
            ("RTDETRTransformer", "num_decoder_points"),
            ("RTDETRTransformer", "nhead"),
            ("RTDETRTransformer", "dim_feedforward"),
        ] {
            let text = match section.split_once('.') {
                None => format!("{section}: {{{key}: {value}}}\n"),
                Some((outer, inner)) => format!("{outer}: {{{inner}: {{{key}: {value}}}}}\n"),
            };
            let found = folder.refusal(BASE, &text);
            assert!(found.starts_with("edited.yml:2: "), "{text}{found}");
        }
    }
    for text in [
        "HybridEncoder: {num_encoder_layers: 4611686018427387904}\n",
        "HybridEncoder: {expansion: 1e308}\n",
        "HybridEncoder: {expansion: -0.5}\n",
        "HybridEncoder: {expansion: 1e-300}\n",
        "HybridEncoder: {depth_mult: 1e308}\n",
        "HybridEncoder: {depth_mult: .nan}\n",
        "HybridEncoder: {pe_temperature: 0}\n",
        "HybridEncoder: {use_encoder_idx: [18446744073709551615]}\n",
        "ResNet: {return_idx: [18446744073709551615, 0]}\n",
        "ResNet: {return_idx: [9223372036854775807, 9223372036854775808]}\n",
        "ResNet: {return_idx: 64}\n",
        "ResNet: {return_idx: []}\n",
        "RTDETRTransformer: {eval_idx: -9223372036854775808}\n",
        "RTDETRTransformer: {eval_idx: 9223372036854775807}\n",
        "eval_size: [18446744073709551615, 18446744073709551615]\n",
        "eval_size: [9223372036854775808, 9223372036854775808]\n",
        "eval_size: [0, 0]\n",
        "RTDETRTransformer: {feat_strides: [18446744073709551615, 1, 1]}\n",
    ] {
        let found = folder.refusal(BASE, text);
        assert!(found.starts_with("edited.yml:2: "), "{text}{found}");
    }
}

#[test]
fn huge_numbers_in_json_are_refused() {
    let folder = Folder::new();
    for value in ["-1", "0", "1e30", "1.5", "true", "\"8\"", "9223372036854775807", "18446744073709551616", "1e999"] {
        for key in [
            "d_model",
            "encoder_hidden_dim",
            "encoder_ffn_dim",
            "decoder_ffn_dim",
            "encoder_attention_heads",
            "decoder_attention_heads",
            "num_queries",
            "num_feature_levels",
            "decoder_n_points",
            "decoder_layers",
            "num_labels",
        ] {
            let text = format!("{{\"model_type\": \"rt_detr\",\n\"{key}\": {value}}}");
            let found = folder.short(folder.open("config.json", &text).map(|loaded| loaded.config));
            // A width of 0 or 2^63 - 1 is first seen as a contradiction elsewhere in the file.
            assert!(found.starts_with("config.json:"), "{text}\n{found}");
        }
    }
}

#[test]
fn names_and_folders_are_told_apart() {
    let folder = Folder::new();
    assert!(matches!(Loaded::open("rtdetr_r50"), Err(ConfigError::UnknownModel { nearest: Some(_), .. })));
    assert!(matches!(Loaded::open("no/such.yml"), Err(ConfigError::Read { .. })));
    let message = Loaded::open(folder.path("").to_str().expect("UTF-8")).expect_err("a folder").to_string();
    assert!(message.contains("it is a folder"), "{message}");
    assert_eq!(Loaded::open("rtdetr_r50vd").expect("zoo").config, Config::load("rtdetr_r50vd").expect("zoo"));

    // Our own form is told by its keys too, whatever the file is called.
    let own = "name: mine\nversion: v1\nbackbone: {type: resnet_vd, depth: 18}\n\
               encoder: {hidden_dim: 256, dim_feedforward: 1024}\ndecoder: {layers: 3}\n";
    assert_eq!(folder.open("model.txt", own).expect("own form").config.name, "mine");
    let json = r#"{"name": "mine", "version": "v1", "backbone": {"type": "resnet_vd", "depth": 18},
                   "encoder": {"hidden_dim": 256, "dim_feedforward": 1024}, "decoder": {"layers": 3}}"#;
    assert_eq!(
        folder.open("model.json", json).expect("own form").config,
        Config::load(folder.path("model.txt").to_str().expect("UTF-8")).expect("own form")
    );
    let message = folder.short(folder.open("mine.yaml", format!("{own}decodr: 1\n")).map(|loaded| loaded.config));
    assert!(message.contains("decodr") && message.contains("line 6"), "{message}");
    let message =
        folder.short(folder.open("mine.yaml", format!("{own}decoder: {{layers: 4}}\n")).map(|loaded| loaded.config));
    assert!(message.contains("duplicate"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Bytes of a configuration replaced by others: a configuration or an error, never a panic.
    #[test]
    fn damaged_files_never_panic(
        json in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\n]{0,6}"), 1..6),
    ) {
        let (name, path) = if json {
            ("damaged.json", "hf/rtdetrv2_r18vd.json")
        } else {
            ("damaged.yml", "paddle/base/common.yml")
        };
        let mut text = std::fs::read_to_string(fixture(path)).expect("fixture");
        if !json {
            let second = std::fs::read_to_string(fixture("paddle/base/v2.yml")).expect("fixture");
            text += &second.replace("_BASE_: [common.yml]", "");
        }
        for (index, new) in &edits {
            let at = index.index(text.len());
            let end = (at + new.len()).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, new);
            }
        }
        let folder = Folder::new();
        let _ = folder.open(name, &text);
    }
}
