//! What PaddleDetection's `TestReader` does to an image, as far as it can be said here. It never makes a configuration
//! an error, since it does not shape the network.

use crate::node::{Map, Node, Place, Value};
use crate::{Config, ImageSize, Preprocess, Resize};

/// Fills in what the reader says: scale, mean and deviation, how OpenCV resizes, and the size if `eval_size` does not fix
/// it.
pub(super) fn read(tree: &Map, size_is_fixed: bool, config: &mut Config, warnings: &mut Vec<String>) {
    let mut warn = |place: &Place, name: &str| {
        warnings.push(format!("{place}: TestReader's {name} is not applied; images are stretched to the input size"));
    };
    let reader = tree.get("TestReader").and_then(|entry| map(&entry.node));
    let Some(transforms) = reader.and_then(|reader| reader.get("sample_transforms")) else { return };
    let Value::List(transforms) = &transforms.node.value else { return };
    for (name, options) in transforms.iter().filter_map(map).flatten() {
        let Some(given) = map(&options.node) else { continue };
        let mut next = config.preprocess.clone();
        let understood = match name.as_str() {
            "Resize" => resize(given, &mut next),
            "NormalizeImage" => normalize(given, &mut next),
            _ => Some(()),
        };
        if size_is_fixed {
            next.size = config.preprocess.size;
        }
        let [height, width] = next.size;
        if understood.is_some() && ImageSize::check(config, &[1, 3, height, width]).is_ok() {
            config.preprocess = next;
        } else {
            warn(&options.key, name);
        }
    }
}

fn resize(options: &Map, preprocess: &mut Preprocess) -> Option<()> {
    if options.get("keep_ratio").is_some_and(|keep| matches!(keep.node.value, Value::Bool(true))) {
        return None;
    }
    let size = numbers(options, "target_size")?;
    let whole = |value: f64| (value.fract() == 0.0 && (1.0..1e6).contains(&value)).then_some(value as usize);
    preprocess.size = match size[..] {
        [side] => [whole(side)?; 2],
        [height, width] => [whole(height)?, whole(width)?],
        _ => return None,
    };
    // OpenCV's numbers; absent it is INTER_LINEAR.
    preprocess.resize = match options.get("interp").map(|interp| &interp.node.value) {
        None | Some(Value::Int(1)) => Resize::OpencvBilinear,
        Some(Value::Int(2)) => Resize::OpencvBicubic,
        Some(_) => return None,
    };
    Some(())
}

/// Pixels are divided by 255 unless `is_scale` says no; mean and deviation only count for `norm_type: mean_std`.
fn normalize(options: &Map, preprocess: &mut Preprocess) -> Option<()> {
    let scale = options.get("is_scale").is_none_or(|scale| !matches!(scale.node.value, Value::Bool(false)));
    preprocess.scale = if scale { 1.0 / 255.0 } else { 1.0 };
    let kind = options.get("norm_type").map_or("mean_std", |kind| match &kind.node.value {
        Value::Text(kind) => kind,
        _ => "",
    });
    match kind {
        "none" => Some(()),
        "mean_std" => {
            let mean = numbers(options, "mean")?.try_into().ok()?;
            let std: [f64; 3] = numbers(options, "std")?.try_into().ok()?;
            std.iter().all(|&value| value > 0.0).then_some(())?;
            (preprocess.mean, preprocess.std) = (mean, std);
            Some(())
        }
        _ => None,
    }
}

fn map(node: &Node) -> Option<&Map> {
    match &node.value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

/// One finite number or a list of them.
fn numbers(options: &Map, key: &str) -> Option<Vec<f64>> {
    let number = |value: &Value| match *value {
        Value::Int(value) => Some(value as f64),
        Value::Float(value) => Some(value).filter(|value| value.is_finite()),
        _ => None,
    };
    match &options.get(key)?.node.value {
        Value::List(items) => items.iter().map(|item| number(&item.value)).collect(),
        value => Some(vec![number(value)?]),
    }
}
