//! The naming schemes against key lists of the real libraries: the official code in both versions, PaddleDetection, and
//! files written by transformers.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::names;
use detrace_weights::{How, PaddleNames, Scheme, paddle_module, schemes::Kind, schemes::kind};

/// Canonical names to canonical shapes, from another scheme's names and shapes.
fn canonical(scheme: Scheme, tensors: &[(String, Vec<usize>)]) -> BTreeMap<String, Vec<usize>> {
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (name, shape) in tensors {
        let mapped = scheme.to_canonical(name).unwrap_or_else(|| panic!("{scheme}: {name} is unknown"));
        let mut shape = shape.clone();
        match mapped.how {
            How::Transposed => shape.reverse(),
            How::Part(_) => shape[0] *= 3,
            How::Same => {}
        }
        let earlier = found.insert(mapped.name, shape.clone());
        assert!(earlier.is_none_or(|earlier| earlier == shape), "{scheme}: two different tensors go where {name} goes");
    }
    found
}

/// Without what one framework has and another has not.
fn comparable(mut tensors: BTreeMap<String, Vec<usize>>) -> BTreeMap<String, Vec<usize>> {
    tensors.retain(|name, _| !matches!(kind(name), Some(Kind::Constant(_))));
    if let Some(shape) = tensors.get_mut("decoder.denoising_class_embed.weight") {
        shape[0] = 80;
    }
    tensors
}

#[test]
fn all_schemes_agree_on_real_networks() {
    for lists in [
        [
            (Scheme::TorchV1, "torch_rtdetr_r50vd"),
            (Scheme::Paddle, "paddle_rtdetr_r50vd"),
            (Scheme::HuggingFace, "hf_rtdetr_r50vd"),
        ],
        [
            (Scheme::Canonical, "torch_rtdetrv2_r18vd"),
            (Scheme::Paddle, "paddle_rtdetrv2_r18vd_dsp"),
            (Scheme::HuggingFace, "hf_rtdetr_v2_r18vd"),
        ],
        [
            (Scheme::Canonical, "torch_rtdetrv2_hgnetv2_l"),
            (Scheme::Paddle, "paddle_rtdetr_hgnetv2_l"),
            (Scheme::Canonical, "torch_rtdetrv2_hgnetv2_l"),
        ],
    ] {
        let [first, second, third] = lists.map(|(scheme, list)| comparable(canonical(scheme, &names(list))));
        assert!(first.len() > 400);
        assert_eq!(first, second, "{lists:?}");
        assert_eq!(first, third, "{lists:?}");
    }
}

#[test]
fn hugging_faces_hgnet_is_the_official_backbone() {
    let hf = canonical(Scheme::HuggingFace, &names("hf_hgnetv2_l_backbone"));
    let mut official = canonical(Scheme::Canonical, &names("torch_rtdetrv2_hgnetv2_l"));
    official.retain(|name, _| name.starts_with("backbone."));
    assert_eq!(comparable(hf), comparable(official));
}

#[test]
fn names_go_there_and_back() {
    for (scheme, list) in common::LISTS {
        for (name, _) in names(list) {
            let mapped = scheme.to_canonical(&name).expect("known");
            let back = scheme.from_canonical(&mapped.name).expect("known");
            let index = if let How::Part(index) = mapped.how { index } else { 0 };
            assert_eq!(back.len(), if matches!(mapped.how, How::Part(_)) { 3 } else { 1 });
            assert_eq!((back[index].name.as_str(), back[index].how), (name.as_str(), mapped.how));
        }
    }
}

#[test]
fn schemes_are_recognised_from_their_keys() {
    for (scheme, list) in common::LISTS {
        let names = names(list);
        assert_eq!(Scheme::recognise(names.iter().map(|(name, _)| name.as_str())), Some(scheme), "{list}");
    }
}

#[test]
fn every_canonical_name_is_known_to_every_scheme() {
    for list in ["torch_rtdetrv2_hgnetv2_l", "torch_rtdetrv2_r18vd"] {
        for scheme in Scheme::ALL {
            let mut written = BTreeSet::new();
            for (name, _) in names(list) {
                for mapped in scheme.from_canonical(&name).unwrap_or_else(|| panic!("{scheme} has no {name}")) {
                    assert_eq!(scheme.to_canonical(&mapped.name).map(|back| back.name), Some(name.clone()));
                    assert!(written.insert(mapped.name.clone()), "{scheme}: {} is written twice", mapped.name);
                }
            }
        }
    }
}

/// Modules that have tensors.
fn modules(tensors: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    tensors.into_iter().filter_map(|name| Some(name.rsplit_once('.')?.0.to_owned())).collect()
}

#[test]
fn paddle_has_the_modules_that_its_checkpoints_show() {
    for (torch, paddle) in [
        ("torch_rtdetrv2_r18vd", "paddle_rtdetrv2_r18vd_dsp"),
        ("torch_rtdetrv2_hgnetv2_l", "paddle_rtdetr_hgnetv2_l"),
        ("torch_rtdetr_r50vd", "paddle_rtdetr_r50vd"),
    ] {
        let scheme = if torch == "torch_rtdetr_r50vd" { Scheme::TorchV1 } else { Scheme::Canonical };
        let canonical = canonical(scheme, &names(torch));
        let of_torch = modules(canonical.into_keys().filter(|name| !matches!(kind(name), Some(Kind::Constant(_)))));
        let translated: BTreeSet<_> = of_torch.iter().map(|path| paddle_module(path).expect("inside")).collect();
        let of_paddle =
            modules(names(paddle).into_iter().map(|(name, _)| name).filter(|name| !name.ends_with("_scale")));
        assert_eq!(translated, of_paddle);
    }
}

#[test]
fn paddle_names_modules_without_tensors_too() {
    for (canonical, paddle) in [
        ("backbone", "backbone"),
        ("backbone.res_layers.0", "backbone.res2"),
        ("backbone.res_layers.1.blocks.0", "backbone.res3.res3a"),
        ("backbone.res_layers.1.blocks.0#add", "backbone.res3.res3a#add"),
        ("backbone.res_layers.3.blocks.0.short.pool", "backbone.res5.res5a.short.pool"),
        ("backbone.stem.pool.1", "backbone.stem.pool"),
        ("backbone.stem.stem2b.conv.1", "backbone.stem.stem2b.conv"),
        ("backbone.stem.stem2a.act", "backbone.stem.stem2a.act"),
        ("backbone.stages.2.blocks.1.layers.0.conv2.act", "backbone.stages.2.blocks.1.layers.0.conv2.act"),
        ("encoder", "neck"),
        ("encoder.encoder.0.layers.0.self_attn", "neck.encoder.0.layers.0.self_attn"),
        ("encoder.encoder.0.layers.0.self_attn#scores", "neck.encoder.0.layers.0.self_attn#scores"),
        ("encoder.lateral_convs.0.norm", "neck.lateral_convs.0.bn"),
        ("encoder.pan_blocks.1.bottlenecks.2.conv2.norm", "neck.pan_blocks.1.bottlenecks.2.conv2.bn"),
        ("encoder.pan_blocks.1.bottlenecks.2.conv", "neck.pan_blocks.1.bottlenecks.2.conv"),
        ("encoder.fpn_blocks.0.conv3", "neck.fpn_blocks.0.conv3"),
        ("encoder.input_proj.2", "neck.input_proj.2"),
        ("decoder", "transformer"),
        ("decoder.enc_output.norm", "transformer.enc_output.1"),
        ("decoder.decoder.layers.5.cross_attn#sample", "transformer.decoder.layers.5.cross_attn#sample"),
        ("decoder.dec_bbox_head.2.layers.1", "transformer.dec_bbox_head.2.layers.1"),
    ] {
        assert_eq!(paddle_module(canonical).as_deref(), Some(paddle));
    }
    assert_eq!(paddle_module("postprocess"), None);
    assert_eq!(paddle_module(""), None);
}

#[test]
fn paddle_numbers_the_blocks_of_a_deep_stage() {
    let config = |name: &str| detrace_config::zoo::get(name).expect("in the zoo").expect("sound");
    let deep = PaddleNames::of(&config("rtdetr_r101vd"));
    let shallow = PaddleNames::of(&config("rtdetr_r50vd"));
    for (block, in_deep, in_shallow) in [(0, "res4a", "res4a"), (1, "res4b1", "res4b"), (5, "res4b5", "res4f")] {
        let path = format!("backbone.res_layers.2.blocks.{block}.branch2a.norm");
        assert_eq!(deep.module(&path), Some(format!("backbone.res4.{in_deep}.branch2a.norm")));
        assert_eq!(shallow.module(&path), Some(format!("backbone.res4.{in_shallow}.branch2a.norm")));
        for names in [deep, shallow] {
            let tensor = names.tensor(&format!("{path}.running_var")).expect("known");
            let back = Scheme::Paddle.to_canonical(&tensor).expect("known");
            assert_eq!(back.name, format!("{path}.running_var"));
        }
    }
    assert_eq!(deep.module("backbone.res_layers.1.blocks.3").as_deref(), Some("backbone.res3.res3d"));
    assert_eq!(deep.module("backbone.res_layers.2.blocks.22").as_deref(), Some("backbone.res4.res4b22"));
    assert_eq!(PaddleNames::for_paths(["backbone.res_layers.2.blocks.10.branch2a"]), deep);
    assert_eq!(PaddleNames::for_paths(["backbone.res_layers.2.blocks.5", "backbone.res_layers.1.blocks.10"]), shallow);
    assert_eq!(PaddleNames::new(23), deep);
    assert_eq!(PaddleNames::of(&config("rtdetr_hgnetv2_l")), shallow);
}

#[test]
fn paddle_transposes_linear_layers_only() {
    for (name, how) in [
        ("transformer.decoder.layers.0.self_attn.in_proj_weight", How::Transposed),
        ("transformer.query_pos_head.layers.0.weight", How::Transposed),
        ("transformer.enc_score_head.bias", How::Transposed),
        ("transformer.denoising_class_embed.weight", How::Same),
        ("transformer.tgt_embed.weight", How::Same),
        ("transformer.enc_output.1.weight", How::Same),
        ("neck.input_proj.0.0.weight", How::Same),
    ] {
        assert_eq!(Scheme::Paddle.to_canonical(name).map(|mapped| mapped.how), Some(how), "{name}");
    }
}

#[test]
fn hugging_face_packs_three_projections_in_order() {
    let names = Scheme::HuggingFace.from_canonical("decoder.decoder.layers.1.self_attn.in_proj_bias").expect("known");
    let names: Vec<_> = names.iter().map(|mapped| (mapped.name.as_str(), mapped.how)).collect();
    assert_eq!(
        names,
        [
            ("model.decoder.layers.1.self_attn.q_proj.bias", How::Part(0)),
            ("model.decoder.layers.1.self_attn.k_proj.bias", How::Part(1)),
            ("model.decoder.layers.1.self_attn.v_proj.bias", How::Part(2)),
        ]
    );
}

#[test]
fn hugging_face_names_are_read_in_all_their_spellings() {
    for (name, canonical) in [
        ("class_embed.2.weight", "decoder.dec_score_head.2.weight"),
        ("bbox_embed.2.layers.1.bias", "decoder.dec_bbox_head.2.layers.1.bias"),
        (
            "model.encoder.aifi.0.layers.0.self_attn.o_proj.weight",
            "encoder.encoder.0.layers.0.self_attn.out_proj.weight",
        ),
        ("model.encoder.aifi.0.layers.0.self_attn.k_proj.bias", "encoder.encoder.0.layers.0.self_attn.in_proj_bias"),
        ("model.encoder.aifi.0.layers.0.mlp.fc2.weight", "encoder.encoder.0.layers.0.linear2.weight"),
        ("model.decoder.layers.3.mlp.fc1.weight", "decoder.decoder.layers.3.linear1.weight"),
        ("model.weight_embedding.weight", "decoder.tgt_embed.weight"),
        ("model.encoder.encoder.0.layers.0.self_attn_layer_norm.bias", "encoder.encoder.0.layers.0.norm1.bias"),
        ("model.encoder.encoder.0.layers.0.final_layer_norm.bias", "encoder.encoder.0.layers.0.norm2.bias"),
        ("model.decoder.layers.5.self_attn_layer_norm.weight", "decoder.decoder.layers.5.norm1.weight"),
        ("model.decoder.layers.5.encoder_attn_layer_norm.weight", "decoder.decoder.layers.5.norm2.weight"),
        ("model.decoder.layers.5.final_layer_norm.weight", "decoder.decoder.layers.5.norm3.weight"),
        ("model.decoder.layers.5.encoder_attn.value_proj.bias", "decoder.decoder.layers.5.cross_attn.value_proj.bias"),
        ("model.backbone.model.embedder.embedder.2.convolution.weight", "backbone.conv1.conv1_3.conv.weight"),
    ] {
        assert_eq!(Scheme::HuggingFace.to_canonical(name).map(|mapped| mapped.name).as_deref(), Some(canonical));
    }
}
