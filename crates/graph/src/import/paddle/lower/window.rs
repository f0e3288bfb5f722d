//! What works on feature maps: convolutions, pools, batch norm, interpolation, sampling, padding.

use super::{Lowering, Result};
use crate::import::ir::{Conv, Padding, Pool, Prim};
use crate::import::paddle::program::Call;

/// Adds the operation if it is of this family.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    match call.op.as_str() {
        "conv2d" | "depthwise_conv2d" => conv(to, call)?,
        "pool2d" => pool(to, call)?,
        "batch_norm" => {
            channels_first(call)?;
            let inputs = ["X", "Scale", "Bias", "Mean", "Variance"].map(|slot| to.input(call, slot));
            let inputs = inputs.into_iter().collect::<Result<Vec<_>>>()?;
            to.simple(call, Prim::BatchNorm, &inputs, "Y")?;
        }
        "group_norm" => norm(to, call, Prim::OtherNorm("group_norm"))?,
        "instance_norm" => norm(to, call, Prim::OtherNorm("instance_norm"))?,
        "layer_norm" => {
            let axis = call.int("begin_norm_axis").unwrap_or(1);
            norm(to, call, Prim::LayerNorm { axis })?;
        }
        "nearest_interp_v2" | "bilinear_interp_v2" | "bicubic_interp_v2" => resize(to, call)?,
        "grid_sampler" => {
            let inputs = [to.input(call, "X")?, to.input(call, "Grid")?];
            to.simple(call, Prim::GridSample, &inputs, "Output")?;
        }
        "pad3d" | "pad2d" | "pad" => pad(to, call)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn channels_first(call: &Call) -> Result<()> {
    for attr in ["data_format", "data_layout"] {
        match call.word(attr) {
            None | Some("" | "NCHW" | "AnyLayout" | "NCDHW") => {}
            Some(other) => return Err(call.fault(format!("the layout {other} is not supported, only NCHW"))),
        }
    }
    Ok(())
}

fn norm(to: &mut Lowering, call: &Call, prim: Prim) -> Result<()> {
    let inputs = vec![Some(to.input(call, "X")?), to.maybe(call, "Scale")?, to.maybe(call, "Bias")?];
    let output = to.output(call, "Y")?;
    to.push(call, prim, inputs, vec![output]);
    Ok(())
}

/// Two sizes; one stands for both.
fn pair(call: &Call, attr: &str, values: &[i64]) -> Result<[usize; 2]> {
    let [height, width] = match values {
        [both] => [*both, *both],
        [height, width] => [*height, *width],
        _ => return Err(call.fault(format!("its attribute `{attr}` is {values:?} instead of two sizes"))),
    };
    match (usize::try_from(height), usize::try_from(width)) {
        (Ok(height), Ok(width)) => Ok([height, width]),
        _ => Err(call.fault(format!("its attribute `{attr}` is {values:?} instead of two sizes"))),
    }
}

fn pair_or(call: &Call, attr: &str, default: [usize; 2]) -> Result<[usize; 2]> {
    call.ints(attr).map_or(Ok(default), |values| pair(call, attr, values))
}

/// `paddings` is height and width, or top, bottom, left, right.
fn padding(call: &Call) -> Result<Padding> {
    match call.word("padding_algorithm") {
        Some("SAME") => return Ok(Padding::Same),
        Some("VALID") => return Ok(Padding::Valid),
        _ => {}
    }
    if let Some(&[top, bottom, left, right]) = call.ints("paddings") {
        let before = pair(call, "paddings", &[top, left])?;
        return Ok(Padding::Explicit(before, pair(call, "paddings", &[bottom, right])?));
    }
    let both = pair_or(call, "paddings", [0, 0])?;
    Ok(Padding::Explicit(both, both))
}

fn conv(to: &mut Lowering, call: &Call) -> Result<()> {
    channels_first(call)?;
    let groups = call.int("groups").unwrap_or(1);
    let groups = usize::try_from(groups).ok().filter(|&groups| groups > 0);
    let prim = Prim::Conv(Conv {
        stride: pair_or(call, "strides", [1, 1])?,
        padding: padding(call)?,
        dilation: pair_or(call, "dilations", [1, 1])?,
        groups: groups.ok_or_else(|| call.fault("its groups are not a positive number"))?,
    });
    let inputs = vec![Some(to.input(call, "Input")?), Some(to.input(call, "Filter")?), to.maybe(call, "Bias")?];
    let output = to.output(call, "Output")?;
    to.push(call, prim, inputs, vec![output]);
    Ok(())
}

fn pool(to: &mut Lowering, call: &Call) -> Result<()> {
    channels_first(call)?;
    let kernel = to.fixed_ints(call, "ksize", "KSize")?.ok_or_else(|| call.fault("it has no window"))?;
    let kernel = pair(call, "ksize", &kernel)?;
    let pool = if call.flag("global_pooling") {
        Pool::Global
    } else if call.flag("adaptive") {
        Pool::Adaptive(kernel)
    } else {
        Pool::Window {
            kernel,
            stride: pair_or(call, "strides", [1, 1])?,
            padding: padding(call)?,
            dilation: [1, 1],
            ceil: call.flag("ceil_mode"),
            clip_last: false,
        }
    };
    let prim = match call.word("pooling_type") {
        Some("max") => Prim::MaxPool(pool),
        Some("avg") => Prim::AvgPool(pool),
        other => return Err(call.fault(format!("its pooling type is {other:?}, not max or avg"))),
    };
    let input = to.input(call, "X")?;
    to.simple(call, prim, &[input], "Out")
}

/// To a size that is computed, or by a scale, or to a fixed size: the first of them that is given, as in Paddle.
fn resize(to: &mut Lowering, call: &Call) -> Result<()> {
    channels_first(call)?;
    let input = to.input(call, "X")?;
    let scale: Vec<f64> = call.floats("scale").unwrap_or_default().into_iter().filter(|&scale| scale > 0.0).collect();
    let fixed = [call.int("out_h").unwrap_or(0), call.int("out_w").unwrap_or(0)];
    let mut scales = None;
    let sizes = if !call.inputs("OutSize").is_empty() || !call.inputs("SizeTensor").is_empty() {
        Some(to.needed_ints(call, "out_h", "OutSize", "SizeTensor")?)
    } else if let Some(id) = to.maybe(call, "Scale")? {
        scales = Some(id);
        None
    } else if let [height, .., width] | [height @ width] = scale.as_slice() {
        scales = Some(to.graph.floats(&call.name, "scale", &[*height, *width]));
        None
    } else if fixed.iter().all(|&size| size > 0) {
        Some(to.graph.ints(&call.name, "size", &fixed))
    } else {
        return Err(call.fault("it has neither a size nor a scale"));
    };
    let output = to.output(call, "Out")?;
    to.push(call, Prim::Resize, vec![Some(input), sizes, scales], vec![output]);
    Ok(())
}

/// `pad3d` counts its pairs from the last dimension, `pad2d` gives height before width, `pad` has a pair for each dimension.
fn pad(to: &mut Lowering, call: &Call) -> Result<()> {
    let input = to.input(call, "X")?;
    let pads = to.fixed_ints(call, "paddings", "Paddings")?.unwrap_or_default();
    if pads.is_empty() || pads.len() % 2 != 0 {
        return Err(call.fault(format!("its paddings are {pads:?}, not pairs")));
    }
    if call.op != "pad" {
        channels_first(call)?;
    }
    let pairs = pads.len() / 2;
    let axes: Vec<i64> = match call.op.as_str() {
        "pad" => (0..pairs as i64).collect(),
        "pad2d" => vec![-2, -1],
        _ => (1..=pairs as i64).map(|from_end| -from_end).collect(),
    };
    if axes.len() != pairs {
        return Err(call.fault(format!("its paddings are {pads:?}, not two pairs")));
    }
    let ordered: Vec<i64> = pads.iter().step_by(2).chain(pads.iter().skip(1).step_by(2)).copied().collect();
    let (pads, axes) = (to.graph.ints(&call.name, "paddings", &ordered), to.graph.ints(&call.name, "axes", &axes));
    to.simple(call, Prim::Pad, &[input, pads, axes], "Out")
}
