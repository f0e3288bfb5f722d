//! `detrace detect` and the library's `Detector` as a user meets them, with seeded weights.

mod common;

use std::path::Path;

use common::checkpoint::{Folder, hollow, needed, seeded};
use common::{detrace, done, refused, text};
use detrace::detect::{Detector, open_image};
use serde_json::{Value, json};

fn root(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

fn picture(name: &str) -> String {
    root(&format!("crates/detect/tests/data/{name}"))
}

fn fixture() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root("tests/fixtures/detect.json")).expect("the fixture"))
        .expect("JSON")
}

/// A model's folder as the Hugging Face hub has them, for images of 320×320.
fn model() -> Folder {
    let folder = Folder::new();
    let config = std::fs::read(root("tests/fixtures/configs/hf/rtdetr_r18vd.json")).expect("a configuration");
    folder.with("config.json", &config);
    folder.with("preprocessor_config.json", fixture()["preprocessor"].to_string().as_bytes());
    seeded(&folder.file("model.safetensors"), &needed("rtdetr_r18vd", 80), 0);
    folder
}

fn at(folder: &Folder) -> &str {
    folder.path().to_str().expect("UTF-8")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

/// Reading, stretching, network and post-processing together, against transformers (`detect_cross_check.py --fixture`).
#[test]
fn detections_are_those_of_transformers() {
    let folder = model();
    let found = Detector::from_dir(folder.path()).expect("a detector").with_threshold(0.0);
    let found = found.detect(&open_image(picture("odd.png")).expect("a picture")).expect("detections");
    assert_eq!(found.len(), 300);
    assert!(found.is_sorted_by(|a, b| a.score >= b.score));
    let fixture = fixture();
    let expected = fixture["detections"].as_array().expect("a list");
    assert_eq!(expected.len(), 50);
    for theirs in expected {
        let (score, bbox) = (theirs["score"].as_f64().expect("a score"), numbers(&theirs["box"]));
        // Neighbours may have changed places.
        let same = found.iter().any(|ours| {
            theirs["class"] == ours.class
                && (f64::from(ours.score) - score).abs() < 2e-6
                && ours.bbox.iter().zip(&bbox).all(|(a, b)| (f64::from(*a) - b).abs() < 0.005)
        });
        assert!(same, "{theirs} is not among {:?}", &found[..50]);
    }
}

/// One folder with two good images and a bad one: every format, the drawings, a batch, what is said of the bad one.
#[test]
fn a_folder_is_shown_in_every_format_and_drawn() {
    let (folder, images) = (model(), Folder::new());
    std::fs::copy(picture("odd.png"), images.file("000000000139.png")).expect("copied");
    std::fs::copy(picture("turned_6.jpg"), images.file("turned.JPG")).expect("copied");
    images.with("bad.jpeg", b"no picture");
    images.with("notes.txt", b"not asked for");
    let (drawn, output) = (images.file("drawn"), images.file("out.json"));
    let run = |more: &[&str]| {
        let run = detrace(&[&["detect", at(&folder), at(&images), "--threshold", "0.998"], more].concat());
        let message = text(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{message}");
        assert!(message.contains("1 of 3 images could not be read") && message.contains("bad.jpeg"), "{message}");
        text(&run.stdout)
    };
    assert_eq!(run(&["--format", "json", "--draw", &drawn, "--batch", "3", "--output", &output]), "");
    let report: Value = serde_json::from_slice(&std::fs::read(&output).expect("written")).expect("JSON");
    assert_eq!(
        (&report["schema"], &report["model"], &report["structure"]),
        (&json!(1), &json!("config"), &json!("fast"))
    );
    let failed = &report["failed"][0];
    assert_eq!(failed["file"], images.file("bad.jpeg"));
    assert!(failed["reason"].as_str().expect("why").contains("no image"), "{failed}");
    let both = report["images"].as_array().expect("a list");
    let size = |image: &Value| (image["file"].clone(), image["width"].clone(), image["height"].clone());
    assert_eq!(size(&both[0]), (json!(images.file("000000000139.png")), json!(41), json!(33)));
    // Turned upright: the file has 24 x 16 pixels.
    assert_eq!(size(&both[1]), (json!(images.file("turned.JPG")), json!(16), json!(24)));
    let found: Vec<&Value> = both.iter().flat_map(|image| image["detections"].as_array().expect("a list")).collect();
    assert!((20..400).contains(&found.len()), "{}", found.len());
    let first = found[0];
    assert!(first["score"].as_f64().expect("a score") > 0.998 && first["label"] == "kite", "{first}");
    assert_eq!(first["class"], 33);

    for (name, before) in [("000000000139.png", "odd.png"), ("turned.JPG", "turned_6.jpg")] {
        let (after, before) =
            (open_image(Path::new(&drawn).join(name)).expect(name), open_image(picture(before)).expect("it"));
        assert_eq!(after.dimensions(), before.dimensions());
        let changed =
            after.pixels().zip(before.pixels()).filter(|(a, b)| a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > 40));
        assert!(changed.count() > 100, "nothing is drawn on {name}");
    }
    // Each image alone says what the batch said.
    let single: Value = serde_json::from_str(&run(&["--format", "json"])).expect("JSON");
    for (a, b) in single["images"].as_array().expect("a list").iter().zip(both) {
        assert_eq!(
            a["detections"].as_array().expect("a list").len(),
            b["detections"].as_array().expect("a list").len()
        );
    }

    let coco: Value = serde_json::from_str(&run(&["--format", "coco"])).expect("JSON");
    assert_eq!(coco.as_array().expect("a list").len(), found.len());
    assert_eq!((&coco[0]["image_id"], &coco[0]["category_id"]), (&json!(139), &json!(38)));
    assert_eq!(coco[found.len() - 1]["image_id"], "turned");
    let (corners, sides) = (numbers(&first["box"]), numbers(&coco[0]["bbox"]));
    for (a, b) in [
        (corners[0], sides[0]),
        (corners[1], sides[1]),
        (corners[2] - corners[0], sides[2]),
        (corners[3] - corners[1], sides[3]),
    ] {
        assert!((a - b).abs() < 1e-4, "{corners:?} {sides:?}");
    }

    let names =
        images.with("names.txt", (0..80).map(|class| format!("thing {class}\n")).collect::<String>().as_bytes());
    let csv = run(&["--format", "csv", "--labels", &names]);
    assert_eq!(csv.lines().count(), 1 + found.len());
    assert!(csv.starts_with("file,width,height,label,class,score,x0,y0,x1,y1\n"), "{csv}");
    assert!(csv.lines().nth(1).expect("a row").contains("139.png,41,33,thing 33,33,0.998"), "{csv}");
    let table = run(&[]);
    assert!(table.contains("kite") && table.contains("0.999"), "{table}");
    assert!(table.contains(&format!("{} detections with a score over 0.998 in 2 images", found.len())), "{table}");
}

#[test]
fn what_is_missing_or_contradictory_is_refused_with_its_cure() {
    let (folder, work) = (Folder::new(), Folder::new());
    let image = picture("odd.png");
    refused(&["detect", "rtdetr_r18vd", &image], &["--weights FILE", "folder"]);
    refused(&["detect", "rtdetr_r18vd"], &["IMAGE|DIR"]);
    refused(&["detect", at(&folder), &image], &["no configuration", "config.json"]);
    folder.with("config.json", &std::fs::read(root("tests/fixtures/configs/hf/rtdetr_r18vd.json")).expect("a file"));
    refused(&["detect", at(&folder), &image], &["no checkpoint", "model.safetensors"]);
    let weights = folder.file("a.safetensors");
    hollow(&weights, &needed("rtdetr_r18vd", 80));
    folder.with("b.pth", b"");
    refused(&["detect", at(&folder), &image], &["more than one", "a.safetensors", "b.pth"]);
    std::fs::remove_file(folder.file("b.pth")).expect("removed");
    let refuse = |more: &[&str], parts: &[&str]| refused(&[&["detect", at(&folder)], more].concat(), parts);
    for threshold in ["1.5", "-1", "NaN", "much"] {
        refuse(&[&image, &format!("--threshold={threshold}")], &["from 0 to 1"]);
    }
    refuse(&[&image, "--batch", "0"], &["--batch"]);
    refuse(&[&image, "--batch", "4000000"], &["MiB"]);
    refuse(&[&image, "--labels", &work.file("none.txt")], &["cannot read", "none.txt"]);
    refuse(&[&image, "--labels", &work.with("two.txt", b"a\nb")], &["2 names for 80 classes"]);
    refuse(&[&image, "--output", &work.file("none/out.json")], &["no folder"]);
    refuse(&[at(&work)], &["no image", ".png"]);
    refuse(&[&image, &image, "--draw", &work.file("drawn")], &["into one file"]);
    refuse(&[&image, &image, "--format", "coco"], &["image_id"]);
    let copy = work.file("copy.png");
    std::fs::copy(&image, &copy).expect("copied");
    refuse(&[&copy, "--draw", at(&work)], &["over itself"]);
    refuse(&[&image, "--draw", &copy], &["copy.png"]);
    folder.with("preprocessor_config.json", br#"{"do_pad": true}"#);
    refuse(&[&image], &["preprocessor_config.json", "do_pad: true is not built"]);
    refused(&["flops", &folder.file("config.json"), "--blob", &image], &["do_pad: true is not built"]);
    folder.with("preprocessor_config.json", br#"{"size": {"height": 320, "width": 320}}"#);
    // A checkpoint of another number of classes.
    hollow(&weights, &needed("rtdetr_r18vd", 7));
    refuse(&[&image], &["7 classes", "--classes 7"]);
    let error = Detector::from_dir(folder.path()).expect_err("it does not fit").to_string();
    assert!(error.contains("7 classes"), "{error}");
    // `flops --blob` obeys the file as well.
    let blob = ["flops", &folder.file("config.json"), "--blob", &image, "--format", "json"];
    let shown: Value = serde_json::from_str(&done(&blob)).expect("JSON");
    assert_eq!(shown["input"], json!([1, 3, 320, 320]));
}
