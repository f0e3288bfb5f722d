//! What becomes of a network's answers, against `post_process_object_detection` of transformers;
//! `weights-scripts/make_pictures.py` makes the reference values.

use candle_core::{Device, Tensor};
use detrace_config::Config;
use detrace_detect::{Labels, postprocess};
use detrace_rtdetr::Output;

fn labels(classes: usize) -> Labels {
    let mut config = Config::load("rtdetr_r18vd").expect("a variant");
    config.classes = classes;
    Labels::of(&config)
}

#[test]
fn detections_are_those_of_transformers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/postprocessed.safetensors");
    let file = candle_core::safetensors::load(path, &Device::Cpu).expect("the reference");
    let output = Output { logits: file["logits"].clone(), boxes: file["boxes"].clone() };
    let sizes: Vec<(u32, u32)> =
        file["sizes"].to_vec2::<i64>().expect("i64").iter().map(|s| (s[0] as u32, s[1] as u32)).collect();
    let found = postprocess(&output, &sizes, 0.97, &labels(5)).expect("finite");
    for (index, found) in found.iter().enumerate() {
        let scores: Vec<f32> = file[&format!("{index}.scores")].to_vec1().expect("f32");
        let classes: Vec<i64> = file[&format!("{index}.labels")].to_vec1().expect("i64");
        let boxes: Vec<Vec<f32>> = file[&format!("{index}.boxes")].to_vec2().expect("f32");
        assert!((3..12).contains(&scores.len()) && found.len() == scores.len(), "{} and {}", found.len(), scores.len());
        for (((ours, score), class), bbox) in found.iter().zip(scores).zip(classes).zip(boxes) {
            assert_eq!((ours.class as i64, ours.label.clone()), (class, format!("class {class}")));
            assert!((ours.score - score).abs() < 1e-6, "{ours:?} {score}");
            assert!(ours.bbox.iter().zip(&bbox).all(|(a, b)| (a - b).abs() < 1e-3), "{ours:?} {bbox:?}");
        }
    }
}

#[test]
fn answers_that_are_no_numbers_are_refused() {
    let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).expect("a tensor");
    let boxes = tensor(&[0.5; 8], &[1, 2, 4]);
    let run = |logits: &[f32], boxes: &Tensor, sizes: &[(u32, u32)]| {
        let output = Output { logits: tensor(logits, &[1, 2, 2]), boxes: boxes.clone() };
        postprocess(&output, sizes, 0.0, &labels(2)).map_err(|error| error.to_string())
    };
    let found = run(&[-1.0, 3.0, 2.0, -2.0], &boxes, &[(10, 20)]).expect("finite");
    // As many as there are queries, though four scores are over the threshold.
    let seen: Vec<_> = found[0].iter().map(|found| (found.class, found.bbox)).collect();
    assert_eq!(seen, [(1, [2.5, 5.0, 7.5, 15.0]), (0, [2.5, 5.0, 7.5, 15.0])]);
    // A score at the threshold is not over it.
    let even = Output { logits: tensor(&[0.0, 0.1, -1.0, -1.0], &[1, 2, 2]), boxes: boxes.clone() };
    let found = postprocess(&even, &[(1, 1)], 0.5, &labels(2)).expect("finite");
    assert_eq!(found[0].iter().map(|found| found.class).collect::<Vec<_>>(), [1]);
    let fault = |result: Result<_, String>| result.map(|_: Vec<_>| ()).expect_err("refused");
    assert!(fault(run(&[0.0, f32::NAN, 0.0, 0.0], &boxes, &[(1, 1)])).contains("not finite"));
    assert!(fault(run(&[0.0; 4], &tensor(&[f32::INFINITY; 8], &[1, 2, 4]), &[(1, 1)])).contains("not finite"));
    assert!(fault(run(&[0.0; 4], &boxes, &[])).contains("sizes"));
}

#[test]
fn classes_have_names_and_coco_has_its_own_ids() {
    let coco = labels(80);
    let named = |class| (coco.name(class), coco.category_id(class));
    // Pairs from instances_val2017.json, on both sides of every gap.
    for (class, name, id) in [
        (0, "person", 1),
        (10, "fire hydrant", 11),
        (11, "stop sign", 13),
        (23, "giraffe", 25),
        (24, "backpack", 27),
        (26, "handbag", 31),
        (39, "bottle", 44),
        (40, "wine glass", 46),
        (59, "bed", 65),
        (60, "dining table", 67),
        (61, "toilet", 70),
        (62, "tv", 72),
        (72, "refrigerator", 82),
        (73, "book", 84),
        (79, "toothbrush", 90),
    ] {
        assert_eq!(named(class), (name.to_owned(), id));
    }
    let other = labels(3);
    assert_eq!((other.name(2), other.category_id(2)), ("class 2".to_owned(), 2));

    let voc = (0..80).map(|class| if class == 3 { "motorbike".into() } else { coco.name(class) });
    let voc = Labels::from_text(&voc.collect::<Vec<_>>().join("\r\n"), 80).expect("80 names");
    assert_eq!((voc.name(3), voc.category_id(79)), ("motorbike".to_owned(), 90));
    let own = Labels::from_text("\u{feff}cat\n dog \n\n", 2).expect("two names");
    assert_eq!((own.name(0), own.name(1), own.category_id(1)), ("cat".to_owned(), "dog".to_owned(), 1));
    assert!(Labels::from_text("cat", 2).expect_err("one").contains("1 names for 2 classes"));
    assert!(Labels::from_text("cat\n\ndog", 3).expect_err("a gap").contains("line 2 is empty"));
}
