//! Hugging Face's `preprocessor_config.json`.

mod common;

use common::{Folder, variant};
use detrace_config::{Config, Preprocess, Resize};

fn read(text: &str) -> Result<(Preprocess, Vec<String>), String> {
    let folder = Folder::new();
    let path = folder.write("preprocessor_config.json", text);
    let mut config = variant("rtdetr_r18vd");
    config.preprocess = Preprocess { size: [320, 320], ..Preprocess::default() };
    match config.read_preprocessor(&path) {
        Ok(warnings) => Ok((config.preprocess, warnings)),
        Err(error) => {
            let before: Config = Config { preprocess: config.preprocess.clone(), ..variant("rtdetr_r18vd") };
            assert_eq!(before, config);
            assert_eq!(config.preprocess.size, [320, 320], "an error leaves the configuration alone");
            Err(folder.short(Err(error)))
        }
    }
}

#[test]
fn the_file_is_obeyed() {
    // As transformers saves it, mean and deviation unused.
    let saved = r#"{"do_convert_annotations": true, "do_normalize": false, "do_pad": false, "do_rescale": true,
        "do_resize": true, "format": "coco_detection", "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "RTDetrImageProcessor", "image_std": [0.229, 0.224, 0.225], "pad_size": null,
        "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"height": 640, "width": 640}}"#;
    let defaults = Preprocess { resize: Resize::TorchvisionBilinear, ..Preprocess::default() };
    assert_eq!(read(saved), Ok((defaults.clone(), Vec::new())));
    assert_eq!(read("{}"), Ok((defaults.clone(), Vec::new())), "the defaults of RTDetrImageProcessor");

    let (layout, _) = read(r#"{"size": {"height": 800, "width": 800}, "resample": 3}"#).expect("a layout model");
    let expected = Preprocess { size: [800, 800], resize: Resize::TorchvisionBicubic, ..Preprocess::default() };
    assert_eq!(layout, expected);

    let (fast, _) = read(r#"{"image_processor_type": "RTDetrImageProcessorFast"}"#).expect("the fast one");
    assert_eq!(fast, defaults);
    let (pil, _) = read(r#"{"image_processor_type": "RTDetrImageProcessorPil"}"#).expect("Pillow's");
    assert_eq!(pil.resize, Resize::PilBilinear);

    let (normalized, _) = read(r#"{"do_normalize": true, "image_std": 0.5, "do_rescale": false}"#).expect("normalized");
    assert_eq!((normalized.mean, normalized.std, normalized.scale), ([0.485, 0.456, 0.406], [0.5; 3], 1.0));

    let (_, warnings) = read(r#"{"some_tool": 1}"#).expect("only a warning");
    assert!(matches!(&warnings[..], [one] if one.contains("ignored, as transformers does: some_tool")), "{warnings:?}");
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    for (text, part) in [
        (r#"{"do_pad": true}"#, "do_pad: true is not built; false is"),
        (r#"{"do_resize": false}"#, "do_resize: false is not built; true is"),
        (r#"{"do_center_crop": true}"#, "do_center_crop: true is not built"),
        (r#"{"resample": 1}"#, "resample: 1 is not built; 2 (bilinear) and 3 (bicubic) are"),
        (r#"{"size": {"shortest_edge": 800, "longest_edge": 1333}}"#, "size.longest_edge is not built; height and"),
        (r#"{"size": 640}"#, "size: 640 is not built; a height and a width are"),
        (r#"{"size": {"height": 640}}"#, "size: a mapping is not built"),
        (r#"{"size": {"height": 650, "width": 640}}"#, "must be multiples of 32; the nearest is 1x3x640x640"),
        (r#"{"size": {"height": 64, "width": 64}}"#, "fewer than the 300 queries"),
        (r#"{"image_processor_type": "DetrImageProcessor"}"#, "DetrImageProcessor is not built"),
        (r#"{"do_normalize": true, "image_std": [0, 1, 1]}"#, "must be positive"),
        (r#"{"do_normalize": true, "image_mean": [0, 1]}"#, "image_mean: [0, 1] is not three numbers"),
        (r#"{"rescale_factor": 0}"#, "must be positive"),
        (r#"{"do_rescal": true}"#, "do_rescal is not a known key; did you mean do_rescale?"),
        ("{", "this is not JSON"),
        ("[]", "not a mapping of keys to values"),
    ] {
        let message = read(text).expect_err(text);
        assert!(message.starts_with("preprocessor_config.json:1: ") && message.contains(part), "{part} in {message}");
    }
}
