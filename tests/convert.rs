//! `detrace convert` as a user meets it: what it writes, what it says, what it refuses.

mod common;

use std::collections::BTreeMap;

use common::checkpoint::{Folder, hollow, needed, paddle, seeded};
use common::{detrace, done, refused, text};
use safetensors::SafeTensors;

/// Names, shapes and bytes of the tensors, and the metadata.
type Contents = (BTreeMap<String, (Vec<usize>, Vec<u8>)>, BTreeMap<String, String>);

fn contents(path: &str) -> Contents {
    let bytes = std::fs::read(path).expect("there");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("sound");
    let file = SafeTensors::deserialize(&bytes).expect("sound");
    let tensors = file.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec())));
    (tensors.collect(), header.metadata().clone().unwrap_or_default().into_iter().collect())
}

/// What `convert` printed, with the folder's name left out.
fn said(folder: &Folder, args: &[&str]) -> String {
    done(args).replace(folder.path().to_str().expect("UTF-8"), "DIR")
}

#[test]
fn every_framework_gives_the_same_tensors() {
    let folder = Folder::new();
    let tensors = needed("rtdetr_r18vd", 80);
    let (pdparams, canonical) = (folder.file("r18.pdparams"), folder.file("r18.safetensors"));
    paddle(&pdparams, &tensors, 3);
    assert_eq!(
        said(&folder, &["convert", &pdparams, &canonical]),
        "DIR/r18.pdparams: pickle (paddle), state dict: bare, names: paddle
mapped         463; 47 transposed
ignored          0
missing          0
unexpected       0
wrong shape      0
wrote DIR/r18.safetensors: 463 tensors of rtdetr_r18vd (80 classes), names: canonical (official torch v2)
"
    );
    let plain = folder.file("plain.safetensors");
    seeded(&plain, &tensors, 3);
    let (expected, _) = contents(&plain);
    let (found, metadata) = contents(&canonical);
    assert!(found == expected, "Paddle's tensors are not the seeded ones");
    assert_eq!(metadata["model"], "rtdetr_r18vd");
    assert_eq!((metadata["source_format"].as_str(), metadata["source_names"].as_str()), ("pickle (paddle)", "paddle"));
    assert_eq!(metadata["source_sha256"].len(), 64);

    let (hf, torch, back) = (folder.file("hf.safetensors"), folder.file("t.safetensors"), folder.file("b.safetensors"));
    let report = said(&folder, &["convert", &canonical, &hf, "--to", "hf"]);
    assert!(report.contains("479 tensors of rtdetr_r18vd (80 classes), names: hugging face\n"), "{report}");
    done(&["convert", &canonical, &torch, "--to", "torch"]);
    assert!(contents(&hf).0.contains_key("model.decoder.layers.2.self_attn.k_proj.bias"));
    assert!(contents(&torch).0.contains_key("encoder.input_proj.0.0.weight"), "not the first version's names");
    for (source, changed) in [(&hf, "; 8 merged from q, k and v"), (&torch, "")] {
        let report = said(&folder, &["convert", source, &back]);
        assert!(report.contains(&format!("mapped         463{changed}\n")), "{report}");
        assert!(contents(&back).0 == expected, "{source}");
    }
    // The same contents give the same bytes.
    let first = std::fs::read(&back).expect("there");
    done(&["convert", &torch, &back]);
    assert!(std::fs::read(&back).expect("there") == first);
    assert!(folder.names().iter().all(|name| !name.starts_with('.')), "{:?}", folder.names());
}

/// Which model a checkpoint is of is seen from its tensors; where two are alike, from what only one of them keeps.
#[test]
fn the_model_is_recognised() {
    let folder = Folder::new();
    let (source, target) = (folder.file("w.safetensors"), folder.file("out.safetensors"));
    let points = |model: &str, is_v2: bool| {
        let mut tensors = needed(model, 80);
        if is_v2 {
            let name = "decoder.decoder.layers.0.cross_attn.num_points_scale".to_owned();
            tensors.push(detrace::config::Needed { name, shape: vec![12], idle: false });
        }
        tensors
    };
    for (model, is_v2, found) in [
        ("rtdetr_r50vd_m", false, "rtdetr_r50vd_m or rtdetrv2_r50vd_m or rtdetrv2_r50vd_m_dsp"),
        ("rtdetrv2_hgnetv2_l", true, "rtdetrv2_hgnetv2_l"),
        ("rtdetrv2_r18vd", true, "rtdetrv2_r18vd or rtdetrv2_r18vd_dsp"),
    ] {
        hollow(&source, &points(model, is_v2));
        let report = done(&["convert", &source, &target]);
        assert!(report.contains(&format!(" tensors of {found} (80 classes)")), "{report}");
        assert_eq!(contents(&target).1["model"], found);
        assert!(!report.contains("ignored          1") || is_v2, "{report}");
        // Our own file says it again, though the constant is gone.
        let again = done(&["convert", &target, &source, "--to", "torch"]);
        assert!(again.contains(&format!(" tensors of {found} (80 classes)")), "{again}");
        let names = if is_v2 { "names: canonical (official torch v2)\n" } else { "names: official torch v1\n" };
        assert!(again.ends_with(names), "{again}");
    }
    hollow(&source, &points("rtdetrv2_r18vd", true));
    done(&["convert", &source, &target, "--model", "rtdetrv2_r18vd_dsp"]);
    assert_eq!(contents(&target).1["model"], "rtdetrv2_r18vd_dsp");
}

#[test]
fn fine_tuned_checkpoints_keep_their_classes() {
    let folder = Folder::new();
    let (source, target) = (folder.file("w.safetensors"), folder.file("out.safetensors"));
    hollow(&source, &needed("rtdetr_r18vd", 20));
    let report = done(&["convert", &source, &target]);
    assert!(
        report.contains("tensors of rtdetr_r18vd or rtdetrv2_r18vd or rtdetrv2_r18vd_dsp (20 classes)"),
        "{report}"
    );
    let args = ["convert", &source, &folder.file("o2.safetensors"), "--model", "rtdetr_r18vd"];
    refused(&args, &["of 20 classes and the model of 80", "`classes: 20`", "leave --model out"]);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let (source, target) = (folder.file("w.safetensors"), folder.file("out.safetensors"));
    let whole = needed("rtdetr_r18vd", 80);
    let lost = "decoder.decoder.layers.1.norm2.bias";
    let mut fewer = whole.clone();
    fewer.retain(|tensor| tensor.name != lost);
    hollow(&source, &fewer);
    refused(&["convert", &source, &target], &["1 missing", lost, "nearest is rtdetr_r18vd", "--allow-partial"]);
    let mut more = whole.clone();
    more.push(detrace::config::Needed { name: "decoder.dec_score_head.3.bias".into(), shape: vec![80], idle: false });
    more.push(detrace::config::Needed { name: "criterion.weight".into(), shape: vec![1], idle: false });
    hollow(&source, &more);
    refused(&["convert", &source, &target], &["2 unexpected", "criterion.weight", "is not part of this model"]);
    let mut other = whole.clone();
    other[0].shape[0] += 1;
    hollow(&source, &other);
    refused(&["convert", &source, &target], &["1 of a wrong shape", "is [33, 3, 3, 3] and must be [32, 3, 3, 3]"]);
    hollow(&source, &whole);
    refused(&["convert", &source, &target, "--model", "rtdetr_r50vd"], &["missing", "unexpected", "wrong shape"]);
    assert_eq!(folder.names(), ["w.safetensors"]);

    hollow(&source, &fewer);
    let output = detrace(&["convert", &source, &target, "--allow-partial"]);
    let report = text(&output.stdout);
    assert!(output.status.success() && report.contains(&format!("missing          1\n  {lost}\n")), "{report}");
    assert!(report.contains("462 tensors of rtdetr_r18vd"), "{report}");
    assert!(!contents(&target).0.contains_key(lost));
}

#[test]
fn files_and_arguments_are_checked() {
    let folder = Folder::new();
    let target = folder.file("out.safetensors");
    let evil = folder.with("evil.pdparams", b"\x80\x04cos\nsystem\n\x8c\x0atouch evil\x85R.");
    let zip = folder.with("cut.pth", b"PK\x03\x04\x14\0\0\0");
    let empty = folder.with("empty.pth", b"");
    let text = folder.with("notes.txt", b"nothing");
    let bert = folder.file("bert.safetensors");
    hollow(&bert, &[detrace::config::Needed { name: "bert.weight".into(), shape: vec![2], idle: false }]);
    for (source, parts) in [
        (evil.as_str(), &["os.system", "nothing was run"][..]),
        (&zip, &["zip archive"]),
        (&empty, &["the file is empty"]),
        (&text, &["no safetensors, torch or Paddle checkpoint"]),
        (&bert, &["neither those of the official code", "bert.weight"]),
        (&folder.file("none.pth"), &["cannot read", "none.pth"]),
        (folder.path().to_str().expect("UTF-8"), &["not a file"]),
    ] {
        refused(&["convert", source, &target], parts);
    }
    refused(&["convert", &bert, &folder.file("out.pth")], &["ends in .safetensors"]);
    refused(&["convert", &bert, &folder.file("none/out.safetensors")], &["no folder"]);
    refused(&["convert", &bert, &target, "--to", "onnx"], &["canonical", "hf", "torch"]);
    refused(&["convert", &bert], &["OUT.safetensors"]);
    assert!(!folder.names().contains(&"out.safetensors".to_owned()));
}
