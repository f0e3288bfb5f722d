//! Loading and writing: the report, what refuses a load, and tensors in canonical form.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use common::{file, values};
use detrace_config::Needed;
use detrace_weights::load::Classes;
use detrace_weights::schemes::{Kind, kind};
use detrace_weights::{Change, Checkpoint, Scheme, Weights, WeightsError};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Name, shape, and the number that the values start with.
type Spec<'a> = (&'a str, &'a [usize], usize);

fn write(path: &Path, tensors: &[Spec<'_>]) {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape, number)| {
            values(*number, shape.iter().product()).iter().flat_map(|v| v.to_le_bytes()).collect()
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape, _), data)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), data).expect("a tensor")));
    std::fs::write(path, safetensors::serialize(views, None).expect("serialised")).expect("written");
}

fn tensor(name: &str, shape: &[usize], idle: bool) -> Needed {
    Needed { name: name.to_owned(), shape: shape.to_vec(), idle }
}

fn load(tensors: &[Spec<'_>], needed: &[(&str, &[usize])], partial: bool) -> Result<Weights, WeightsError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    write(&path, tensors);
    let needed: Vec<_> = needed.iter().map(|(name, shape)| tensor(name, shape, false)).collect();
    Weights::load(Checkpoint::open(path)?, &needed, partial)
}

fn refused(result: Result<Weights, WeightsError>) -> (String, detrace_weights::Report) {
    match result {
        Err(error @ WeightsError::Refused { .. }) => {
            let message = error.to_string();
            let WeightsError::Refused { report, .. } = error else { unreachable!() };
            (message, *report)
        }
        other => panic!("{other:?}"),
    }
}

const HEAD: (&str, &[usize]) = ("decoder.dec_score_head.0.weight", &[2, 4]);
const HEAD_BIAS: (&str, &[usize]) = ("decoder.dec_score_head.0.bias", &[2]);
const HEADS: [Spec<'_>; 2] = [(HEAD.0, HEAD.1, 1), (HEAD_BIAS.0, HEAD_BIAS.1, 2)];

#[test]
fn what_fits_is_loaded() {
    let weights = load(&HEADS, &[HEAD, HEAD_BIAS], false).expect("fits");
    assert_eq!(weights.scheme(), Scheme::Canonical);
    assert_eq!(weights.classes(), Some(2));
    assert_eq!(weights.names().collect::<Vec<_>>(), [HEAD_BIAS.0, HEAD.0]);
    let tensor = weights.tensor(HEAD.0).expect("there");
    assert_eq!((tensor.shape.as_slice(), tensor.to_f32()), (&[2, 4][..], values(1, 8)));
    assert!(weights.report().fits());
    assert!(weights.report().to_string().contains("mapped           2\n"), "{}", weights.report());
    assert!(matches!(weights.tensor("decoder.anchors"), Err(WeightsError::NoTensor { .. })));
}

#[test]
fn missing_tensors_refuse_the_load_unless_it_may_be_partial() {
    let needed = [HEAD, HEAD_BIAS, ("decoder.enc_score_head.bias", &[2][..])];
    let (message, report) = refused(load(&HEADS, &needed, false));
    assert!(message.contains("1 missing") && message.contains("decoder.enc_score_head.bias"), "{message}");
    assert_eq!(report.missing, ["decoder.enc_score_head.bias"]);
    let weights = load(&HEADS, &needed, true).expect("partial");
    assert_eq!(weights.report().left_random().collect::<Vec<_>>(), ["decoder.enc_score_head.bias"]);
    assert!(!weights.contains("decoder.enc_score_head.bias"));
}

#[test]
fn unexpected_tensors_refuse_the_load() {
    let tensors = [HEADS[0], HEADS[1], ("decoder.dec_score_head.1.bias", &[2], 3), ("optimizer.step", &[1], 4)];
    let (message, report) = refused(load(&tensors, &[HEAD, HEAD_BIAS], false));
    let unexpected: Vec<_> = report.unexpected.iter().map(|set| (set.name.as_str(), set.why.as_str())).collect();
    let expected =
        [("optimizer.step", "is no tensor of RT-DETR"), ("decoder.dec_score_head.1.bias", "is not part of this model")];
    assert_eq!(unexpected, expected);
    assert!(message.contains("2 unexpected"), "{message}");
    assert_eq!(load(&tensors, &[HEAD, HEAD_BIAS], true).expect("partial").names().count(), 2);
}

#[test]
fn another_number_of_classes_is_named() {
    let needed = [(HEAD.0, &[80, 4][..]), (HEAD_BIAS.0, &[80][..])];
    let (message, report) = refused(load(&HEADS, &needed, false));
    assert_eq!(report.classes, Some(Classes { found: 2, needed: 80 }));
    assert!(message.contains("of 2 classes and the model of 80"), "{message}");
    assert!(message.contains("`classes: 2`"), "{message}");
    assert_eq!(report.wrong_shape.len(), 2);
    assert_eq!(load(&HEADS, &needed, true).expect("partial").names().count(), 0);
    let (message, report) = refused(load(&HEADS, &[(HEAD.0, &[2, 5]), HEAD_BIAS], false));
    assert_eq!(report.classes, None);
    assert!(message.contains("is [2, 4] and must be [2, 5]"), "{message}");
}

#[test]
fn constants_are_ignored_by_name() {
    let tensors = [
        HEADS[0],
        HEADS[1],
        ("decoder.anchors", &[1, 2, 4], 0),
        ("decoder.valid_mask", &[1, 2, 1], 0),
        ("decoder.decoder.layers.0.cross_attn.num_points_scale", &[12], 0),
        ("encoder.lateral_convs.0.norm.num_batches_tracked", &[], 0),
        ("decoder.denoising_class_embed.weight", &[3, 4], 0),
        ("encoder.lateral_convs.0.norm.total_ops", &[1], 0),
    ];
    let weights = load(&tensors, &[HEAD, HEAD_BIAS], false).expect("fits");
    assert_eq!(weights.report().ignored.len(), 6);
    assert!(weights.report().to_string().contains("1 is used in training only"), "{}", weights.report());
    let needed = [HEAD, HEAD_BIAS, ("decoder.anchors", &[1, 2, 4][..])];
    assert!(load(&tensors, &needed, false).expect("fits").contains("decoder.anchors"));
}

#[test]
fn the_denoising_embedding_has_a_row_for_nothing() {
    let embedding = "decoder.denoising_class_embed.weight";
    for (rows, change) in [(2, Change::Padded), (3, Change::None)] {
        let tensors = [HEADS[0], HEADS[1], (embedding, &[rows, 4], 5)];
        let weights = load(&tensors, &[HEAD, HEAD_BIAS, (embedding, &[3, 4])], false).expect("fits");
        assert_eq!(weights.report().changed(change), if change == Change::None { 3 } else { 1 });
        let mut expected = values(5, rows * 4);
        expected.resize(12, 0.0);
        assert_eq!(weights.tensor(embedding).expect("there").to_f32(), expected);
    }
    let weights = load(&HEADS, &[HEAD, HEAD_BIAS, (embedding, &[3, 4])], false).expect("fits");
    assert_eq!(weights.report().changed(Change::Zeros), 1);
    assert_eq!(weights.tensor(embedding).expect("there").to_f32(), [0.0; 12]);
    let tensors = [HEADS[0], HEADS[1], (embedding, &[7, 4], 5)];
    refused(load(&tensors, &[HEAD, HEAD_BIAS, (embedding, &[3, 4])], false));
}

const ATTENTION: &str = "encoder.encoder.0.layers.0.self_attn.in_proj_weight";
const Q: &str = "model.encoder.encoder.0.layers.0.self_attn.q_proj.weight";
const K: &str = "model.encoder.encoder.0.layers.0.self_attn.k_proj.weight";
const V: &str = "model.encoder.encoder.0.layers.0.self_attn.v_proj.weight";

#[test]
fn three_projections_become_one() {
    let weights = load(&[(V, &[2, 2], 3), (K, &[2, 2], 2), (Q, &[2, 2], 1)], &[(ATTENTION, &[6, 2])], false);
    let weights = weights.expect("fits");
    assert_eq!(weights.report().changed(Change::Merged), 1);
    assert_eq!(weights.report().mapped[0].from, [Q, K, V]);
    let expected = [values(1, 4), values(2, 4), values(3, 4)].concat();
    assert_eq!(weights.tensor(ATTENTION).expect("there").to_f32(), expected);
    let (message, report) = refused(load(&[(V, &[2, 2], 3), (Q, &[2, 2], 1)], &[(ATTENTION, &[6, 2])], false));
    assert!(message.contains("k_proj.weight to be packed with"), "{message}");
    assert_eq!(report.missing, [ATTENTION]);
    let (message, _) =
        refused(load(&[(V, &[2, 2], 3), (K, &[2, 2], 2), (Q, &[2, 3], 1)], &[(ATTENTION, &[6, 2])], false));
    assert!(message.contains("differs from the other two"), "{message}");
}

#[test]
fn tied_copies_must_be_equal() {
    let (inner, outer) = ("model.decoder.class_embed.0.bias", "class_embed.0.bias");
    for (tensors, from) in [
        (vec![(inner, &[2][..], 1), (outer, &[2][..], 1)], inner),
        (vec![(outer, &[2][..], 1)], outer),
        (vec![(inner, &[2][..], 1)], inner),
    ] {
        let weights = load(&tensors, &[HEAD_BIAS], false).expect("fits");
        assert_eq!(weights.report().mapped[0].from, [from]);
        assert_eq!(weights.report().ignored.len(), tensors.len() - 1);
        assert_eq!(weights.tensor(HEAD_BIAS.0).expect("there").to_f32(), values(1, 2));
    }
    let (message, _) = refused(load(&[(inner, &[2], 1), (outer, &[2], 2)], &[HEAD_BIAS], false));
    assert!(message.contains("differs from it"), "{message}");
}

#[test]
fn paddles_matrices_are_transposed_and_its_embedding_padded() {
    for path in ["paddle3_p2.pdparams", "paddle3_p4.pdparams", "paddle3_nested.pdparams"] {
        let weights = Weights::all(Checkpoint::open(file(path)).expect("sound"), false).expect("fits");
        assert_eq!(weights.scheme(), Scheme::Paddle);
        // In the file, tensor 7 by name is enc_output.0.weight, [3, 4].
        let tensor = weights.tensor("decoder.enc_output.proj.weight").expect("there");
        let stored = values(8, 12);
        let transposed: Vec<f32> =
            (0..4).flat_map(|column| (0..3).map(move |row| row * 4 + column)).map(|at| stored[at]).collect();
        assert_eq!((tensor.shape.as_slice(), tensor.to_f32()), (&[4, 3][..], transposed));
        let embedding = weights.tensor("decoder.denoising_class_embed.weight").expect("there");
        assert_eq!(embedding.shape, [3, 4]);
        assert_eq!(embedding.to_f32(), [values(6, 8), vec![0.0; 4]].concat());
        assert_eq!(weights.report().changed(Change::Transposed), 2);
        assert_eq!(weights.report().changed(Change::Padded), 1);
        assert!(weights.contains("encoder.lateral_convs.0.norm.running_var"));
    }
}

/// A safetensors file of zeros with the names and shapes of a list, which takes no room on the disk.
fn hollow(path: &Path, list: &str) {
    let (mut header, mut at) = (serde_json::Map::new(), 0_usize);
    for (name, shape) in common::names(list) {
        let end = at + 4 * shape.iter().product::<usize>();
        header.insert(name, serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [at, end]}));
        at = end;
    }
    let header = serde_json::Value::Object(header).to_string();
    let start = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    std::fs::write(path, &start).expect("written");
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("there");
    file.set_len((start.len() + at) as u64).expect("longer");
}

/// The canonical tensors of the model that an official list is of.
fn needed(list: &str) -> Vec<Needed> {
    let scheme = common::LISTS.iter().find(|(_, known)| *known == list).expect("a list").0;
    let canonical = common::names(list).into_iter();
    let canonical =
        canonical.map(|(name, shape)| tensor(&scheme.to_canonical(&name).expect("known").name, &shape, false));
    canonical.filter(|tensor| !matches!(kind(&tensor.name), Some(Kind::Constant(_)))).collect()
}

#[test]
fn real_networks_load_strictly_from_every_framework() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    for (list, model, transposed, merged, padded) in [
        ("torch_rtdetr_r50vd", "torch_rtdetr_r50vd", 0, 0, 0),
        ("paddle_rtdetr_r50vd", "torch_rtdetr_r50vd", 83, 0, 1),
        ("hf_rtdetr_r50vd", "torch_rtdetr_r50vd", 0, 14, 0),
        ("torch_rtdetrv2_r18vd", "torch_rtdetrv2_r18vd", 0, 0, 0),
        ("paddle_rtdetrv2_r18vd_dsp", "torch_rtdetrv2_r18vd", 47, 0, 1),
        ("hf_rtdetr_v2_r18vd", "torch_rtdetrv2_r18vd", 0, 8, 0),
        ("torch_rtdetrv2_hgnetv2_l", "torch_rtdetrv2_hgnetv2_l", 0, 0, 0),
        ("paddle_rtdetr_hgnetv2_l", "torch_rtdetrv2_hgnetv2_l", 83, 0, 1),
    ] {
        hollow(&path, list);
        let needed = needed(model);
        let weights = Weights::load(Checkpoint::open(&path).expect("sound"), &needed, false);
        let weights = weights.unwrap_or_else(|error| panic!("{list}: {error}"));
        assert_eq!(weights.names().count(), needed.len());
        let changed =
            [Change::Transposed, Change::Merged, Change::Padded].map(|change| weights.report().changed(change));
        assert_eq!(changed, [transposed, merged, padded], "{list}");
        assert_eq!(weights.classes(), Some(80));
        // Another model's weights do not fit.
        let other = if model == "torch_rtdetr_r50vd" { "torch_rtdetrv2_r18vd" } else { "torch_rtdetr_r50vd" };
        refused(Weights::load(Checkpoint::open(&path).expect("sound"), &self::needed(other), false));
    }
}

#[test]
fn wrappers_come_off_in_every_format() {
    let wrapped = [("module.decoder.dec_score_head.0.bias", &[2][..], 1), ("module.decoder.anchors", &[1], 0)];
    let weights = load(&wrapped, &[HEAD_BIAS], false).expect("fits");
    assert_eq!(weights.tensor(HEAD_BIAS.0).expect("there").to_f32(), values(1, 2));
    // Only where every key is wrapped.
    refused(load(&[wrapped[0], ("decoder.dec_score_head.0.weight", &[2, 4], 1)], &[HEAD_BIAS, HEAD], false));
}

#[test]
fn layers_that_never_run_may_be_absent() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    write(&path, &HEADS);
    let late = "decoder.decoder.layers.3.linear1.bias";
    let open = || Checkpoint::open(&path).expect("sound");
    let mut needed = vec![tensor(HEAD.0, HEAD.1, false), tensor(HEAD_BIAS.0, HEAD_BIAS.1, false)];
    needed.push(tensor(late, &[4], true));
    let weights = Weights::load(open(), &needed, false).expect("fits");
    assert_eq!(weights.report().idle, [late]);
    assert!(weights.report().to_string().contains("inference does not reach"), "{}", weights.report());
    needed[2].idle = false;
    refused(Weights::load(open(), &needed, false));
}

#[test]
fn layers_get_their_tensors_through_candle() {
    let needed = [HEAD, HEAD_BIAS, ("decoder.enc_score_head.bias", &[2][..])];
    let vb = load(&HEADS, &needed, true).expect("partial").var_builder(&Device::Cpu);
    let floats =
        |tensor: candle_core::Tensor| tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("f32");
    let head = vb.pp("decoder").pp("dec_score_head").pp(0);
    assert_eq!(floats(head.get((2, 4), "weight").expect("there")), values(1, 8));
    let random = vb.pp("decoder").pp("enc_score_head").get(2, "bias").expect("seeded");
    assert_eq!(floats(random), detrace_weights::seeded_values("decoder.enc_score_head.bias", &[2], 0));
    let error = head.get((4, 2), "weight").expect_err("another shape").to_string();
    assert!(error.contains("[2, 4] in the checkpoint and [4, 2] in the network"), "{error}");
    let error = head.get(2, "shift").expect_err("never asked for").to_string();
    assert!(error.contains("dec_score_head.0.shift"), "{error}");
}

#[test]
fn strange_names_are_no_rt_detr() {
    let error = load(&[("bert.embeddings.weight", &[2], 1)], &[HEAD], true).expect_err("refused");
    assert!(matches!(error, WeightsError::Scheme { .. }));
    assert!(error.to_string().contains("bert.embeddings.weight"));
}

#[test]
fn integers_are_no_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    let view = TensorView::new(Dtype::I8, vec![2], &[1, 2]).expect("a tensor");
    std::fs::write(&path, safetensors::serialize([(HEAD_BIAS.0, view)], None).expect("serialised")).expect("written");
    let error = Weights::all(Checkpoint::open(path).expect("sound"), false).expect_err("refused").to_string();
    assert!(error.contains("type I8"), "{error}");
}

/// Shapes and bytes of tensors by their names.
type Contents = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// The tensors and the metadata of a safetensors file.
fn contents(path: &Path) -> (Contents, BTreeMap<String, String>) {
    let bytes = std::fs::read(path).expect("there");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("sound");
    let tensors = SafeTensors::deserialize(&bytes).expect("sound");
    let tensors =
        tensors.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec()))).collect();
    (tensors, metadata.metadata().clone().unwrap_or_default().into_iter().collect())
}

#[test]
fn every_scheme_is_written_and_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source.safetensors");
    let tensors = [
        HEADS[0],
        HEADS[1],
        (ATTENTION, &[6, 2], 3),
        ("encoder.input_proj.0.conv.weight", &[2, 3, 1, 1], 4),
        ("decoder.enc_output.proj.weight", &[2, 2], 5),
        ("decoder.denoising_class_embed.weight", &[3, 2], 6),
        ("backbone.stem.stem2a.conv.1.weight", &[2, 2, 2, 2], 7),
    ];
    write(&source, &tensors);
    let weights = Weights::all(Checkpoint::open(&source).expect("sound"), false).expect("fits");
    let original = contents(&source).0;
    for (scheme, name) in [
        (Scheme::Canonical, "decoder.enc_output.proj.weight"),
        (Scheme::TorchV1, "decoder.enc_output.0.weight"),
        (Scheme::HuggingFace, "model.enc_output.0.weight"),
    ] {
        let (written, back) = (folder.path().join("written.safetensors"), folder.path().join("back.safetensors"));
        weights.save(&written, scheme, "tiny").expect("written");
        let (tensors, metadata) = contents(&written);
        assert!(tensors.contains_key(name), "{scheme}: {tensors:?}");
        assert_eq!(tensors.len(), if scheme == Scheme::HuggingFace { 9 } else { 7 });
        assert_eq!((metadata["format"].as_str(), metadata["model"].as_str()), ("pt", "tiny"));
        assert_eq!(metadata["source_sha256"], weights.checkpoint().sha256().expect("readable"));
        assert_eq!(metadata["source_format"], "safetensors");
        let again = Weights::all(Checkpoint::open(&written).expect("sound"), false).expect("fits");
        assert_eq!(again.scheme(), scheme);
        again.save(&back, Scheme::Canonical, "tiny").expect("written");
        assert_eq!(contents(&back).0, original, "{scheme}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 3, "temporary files are left: {left:?}");
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source.safetensors");
    write(&source, &HEADS);
    let weights = Weights::all(Checkpoint::open(&source).expect("sound"), false).expect("fits");
    let nowhere = folder.path().join("none").join("w.safetensors");
    assert!(matches!(weights.save(nowhere, Scheme::Canonical, "tiny"), Err(WeightsError::Write { .. })));
    let paddle = weights.save(folder.path().join("p.safetensors"), Scheme::Paddle, "tiny").expect_err("refused");
    assert!(paddle.to_string().contains("choose canonical"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    // A file may be written over its own source.
    weights.save(&source, Scheme::Canonical, "tiny").expect("written");
    assert_eq!(weights.tensor(HEAD.0).expect("still mapped").to_f32(), values(1, 8));
    assert_eq!(contents(&source).0.len(), 2);
}
