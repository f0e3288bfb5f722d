//! Hugging Face's `preprocessor_config.json`: what is done to an image before the network sees it.
//!
//! Absent keys take the defaults of `RTDetrImageProcessor` (transformers 5.23), which resizes with torchvision, as
//! `RTDetrImageProcessorFast` did before; `RTDetrImageProcessorPil` does it with Pillow. In version 4 the plain name was
//! Pillow's. The network gets images of one size, so a setting that keeps the aspect ratio, crops or pads is refused by name.

use std::rc::Rc;

use super::leftover;
use crate::node::{Map, Place, Value};
use crate::section::Section;
use crate::{Config, ConfigError, Resize};

/// The mean and deviation that transformers takes where a file gives none.
const IMAGENET: ([f64; 3], [f64; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// Keys that change nothing for a stretched RGB image.
const IGNORED: &[&str] = &[
    "_processor_class",
    "_valid_processor_keys",
    "annotations",
    "crop_size",
    "data_format",
    "default_to_square",
    "device",
    "disable_grouping",
    "do_convert_annotations",
    "do_convert_rgb",
    "format",
    "images",
    "input_data_format",
    "masks_path",
    "model_input_names",
    "pad_size",
    "processor_class",
    "return_segmentation_masks",
    "return_tensors",
    "use_fast",
];

/// Fills in `config.preprocess` from the file with the keys `top`.
pub(crate) fn read(
    file: &Rc<str>,
    top: &Map,
    config: &mut Config,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let top = Section::new("", Place { file: file.clone(), line: 1 }, top);
    top.ignore(IGNORED);
    let fast = match top.text("image_processor_type")?.or(top.text("feature_extractor_type")?) {
        Some("RTDetrImageProcessorPil") => false,
        None | Some("RTDetrImageProcessor" | "RTDetrImageProcessorFast") => true,
        Some(other) => {
            let fault = format_args!("{other} is not built; RTDetrImageProcessor is");
            return Err(top.fault("image_processor_type", fault));
        }
    };
    top.only("do_resize", top.bool("do_resize")?, true, true)?;
    top.only("do_pad", top.bool("do_pad")?, false, false)?;
    top.only("do_center_crop", top.bool("do_center_crop")?, false, false)?;
    let preprocess = &mut config.preprocess;
    preprocess.size = size(&top)?;
    let resample = top.some("resample").and_then(|_| top.i64("resample").transpose()).transpose()?;
    preprocess.resize = match (resample.unwrap_or(2), fast) {
        (2, false) => Resize::PilBilinear,
        (3, false) => Resize::PilBicubic,
        (2, true) => Resize::TorchvisionBilinear,
        (3, true) => Resize::TorchvisionBicubic,
        (other, _) => {
            return Err(top.fault("resample", format_args!("{other} is not built; 2 (bilinear) and 3 (bicubic) are")));
        }
    };
    let factor = top.f64("rescale_factor")?.unwrap_or(1.0 / 255.0);
    preprocess.scale = if top.bool("do_rescale")?.unwrap_or(true) { factor } else { 1.0 };
    let (mean, std) = (channels(&top, "image_mean", IMAGENET.0)?, channels(&top, "image_std", IMAGENET.1)?);
    let normalize = top.bool("do_normalize")?.unwrap_or(false);
    (preprocess.mean, preprocess.std) = if normalize { (mean, std) } else { ([0.0; 3], [1.0; 3]) };
    leftover(&top, warnings)?;
    config.check().map_err(|error| match &error {
        ConfigError::Input { .. } => top.fault("size", &error),
        ConfigError::Value { key: "preprocess", fault, .. } => top.place.fault(fault.clone()),
        _ => error,
    })
}

/// `size`, a mapping of a height and a width.
fn size(top: &Section<'_>) -> Result<[usize; 2], ConfigError> {
    let Some(node) = top.some("size") else { return Ok([640, 640]) };
    let refuse = || {
        let fault =
            format_args!("{} is not built; a height and a width are, to which images are stretched", node.value);
        Err(top.fault("size", fault))
    };
    let Value::Map(map) = &node.value else { return refuse() };
    let section = Section::new("size", top.place_of("size"), map);
    let (height, width) = (section.usize("height")?, section.usize("width")?);
    match (height, width, section.unknown().first()) {
        (Some(height), Some(width), None) => Ok([height, width]),
        (_, _, Some((key, place))) => {
            Err(place.fault(format!("size.{key} is not built; height and width are, to which images are stretched")))
        }
        _ => refuse(),
    }
}

/// One number for all channels, or one for each.
fn channels(top: &Section<'_>, key: &'static str, default: [f64; 3]) -> Result<[f64; 3], ConfigError> {
    let Some(node) = top.some(key) else { return Ok(default) };
    let number = |value: &Value| match *value {
        Value::Int(value) => Some(value as f64),
        Value::Float(value) if value.is_finite() => Some(value),
        _ => None,
    };
    let values = match &node.value {
        Value::List(items) => {
            items.iter().map(|item| number(&item.value)).collect::<Option<Vec<_>>>().and_then(|all| all.try_into().ok())
        }
        value => number(value).map(|value| [value; 3]),
    };
    values.ok_or_else(|| top.fault(key, format_args!("{} is not three numbers", node.value)))
}
