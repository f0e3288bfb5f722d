//! What works on feature maps: convolutions, pools, norms, interpolation, sampling, padding.

use super::{Lowering, Result};
use crate::import::ir::{Conv, Dim, Padding, Pool, Prim, TensorId};
use crate::import::onnx::call::Call;

/// Adds the operation if it is of this family.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    match call.op() {
        "Conv" => {
            let (prim, inputs) = conv(to, call)?;
            to.single(call, prim, inputs)?;
        }
        "MaxPool" => {
            let pool = Prim::MaxPool(window(call)?);
            to.simple(call, pool, 1)?;
        }
        "AveragePool" => {
            let pool = Prim::AvgPool(window(call)?);
            to.simple(call, pool, 1)?;
        }
        "GlobalMaxPool" => to.simple(call, Prim::MaxPool(Pool::Global), 1)?,
        "GlobalAveragePool" => to.simple(call, Prim::AvgPool(Pool::Global), 1)?,
        "BatchNormalization" => to.simple(call, Prim::BatchNorm, 5)?,
        "LayerNormalization" => {
            let axis = call.int_or("axis", -1)?;
            norm(to, call, Prim::LayerNorm { axis })?;
        }
        "InstanceNormalization" => norm(to, call, Prim::OtherNorm("instance_norm"))?,
        "GroupNormalization" => norm(to, call, Prim::OtherNorm("group_norm"))?,
        "RMSNormalization" | "SimplifiedLayerNormalization" => norm(to, call, Prim::OtherNorm("rms_norm"))?,
        "Resize" | "Upsample" => resize(to, call)?,
        "GridSample" => to.simple(call, Prim::GridSample, 2)?,
        "Pad" => {
            let inputs = vec![Some(to.input(call, 0)?), Some(to.needed_ints(call, "pads", 1)?), to.maybe(call, 3)];
            to.single(call, Prim::Pad, inputs)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn norm(to: &mut Lowering, call: &Call, prim: Prim) -> Result<()> {
    let inputs = vec![Some(to.input(call, 0)?), to.maybe(call, 1), to.maybe(call, 2)];
    to.single(call, prim, inputs)
}

/// Two sizes.
fn pair(call: &Call, attr: &str) -> Result<Option<[usize; 2]>> {
    let Some(values) = call.ints(attr)? else { return Ok(None) };
    let fault =
        || call.fault(format!("its attribute `{attr}` is {values:?}; two sizes are supported, height and width"));
    let sizes: Vec<usize> = values.iter().filter_map(|&value| usize::try_from(value).ok()).collect();
    match (sizes.as_slice(), values.len()) {
        (&[height, width], 2) => Ok(Some([height, width])),
        _ => Err(fault()),
    }
}

/// `pads` is top, left, bottom, right.
fn padding(call: &Call) -> Result<Padding> {
    match call.word("auto_pad")? {
        None | Some("" | "NOTSET") => {}
        Some("SAME_UPPER" | "SAME_LOWER") => return Ok(Padding::Same),
        Some("VALID") => return Ok(Padding::Valid),
        Some(other) => return Err(call.fault(format!("its attribute `auto_pad` is {other:?}"))),
    }
    let Some(values) = call.ints("pads")? else { return Ok(Padding::Explicit([0; 2], [0; 2])) };
    let pads: Vec<usize> = values.iter().filter_map(|&value| usize::try_from(value).ok()).collect();
    match (pads.as_slice(), values.len()) {
        (&[top, left, bottom, right], 4) => Ok(Padding::Explicit([top, left], [bottom, right])),
        _ => Err(call.fault(format!("its attribute `pads` is {values:?}; four sizes are supported"))),
    }
}

/// A convolution and its input, weight and bias.
pub(super) fn conv(to: &mut Lowering, call: &Call) -> Result<(Prim, Vec<Option<TensorId>>)> {
    let (input, weight) = (to.input(call, 0)?, to.input(call, 1)?);
    let kernel = pair(call, "kernel_shape")?;
    if let (Some([height, width]), Some([_, _, tall, wide])) = (kernel, to.graph.tensor(weight).declared.as_deref())
        && [tall, wide] != [&Dim::Known(height), &Dim::Known(width)]
    {
        return Err(call.fault(format!("its `kernel_shape` is {height}×{width}, and its weight's is another")));
    }
    let groups = usize::try_from(call.int_or("group", 1)?).ok().filter(|&groups| groups > 0);
    let prim = Prim::Conv(Conv {
        stride: pair(call, "strides")?.unwrap_or([1; 2]),
        padding: padding(call)?,
        dilation: pair(call, "dilations")?.unwrap_or([1; 2]),
        groups: groups.ok_or_else(|| call.fault("its `group` is not a positive number"))?,
    });
    Ok((prim, vec![Some(input), Some(weight), to.maybe(call, 2)]))
}

fn window(call: &Call) -> Result<Pool> {
    Ok(Pool::Window {
        kernel: pair(call, "kernel_shape")?.ok_or_else(|| call.fault("it has no `kernel_shape`"))?,
        stride: pair(call, "strides")?.unwrap_or([1; 2]),
        padding: padding(call)?,
        dilation: pair(call, "dilations")?.unwrap_or([1; 2]),
        ceil: call.flag("ceil_mode", false)?,
        clip_last: true,
    })
}

/// `Upsample` has scales, an attribute at first; so has `Resize` before version 11, which then has a region, scales and
/// sizes, of which one is left out or empty.
fn resize(to: &mut Lowering, call: &Call) -> Result<()> {
    let input = to.input(call, 0)?;
    let (sizes, scales) = match (call.op(), call.floats("scales")?) {
        ("Upsample", Some(scales)) => (None, Some(to.graph.floats(call.name(), "scales", &scales))),
        ("Upsample", None) => (None, to.filled(call, 1)),
        _ if call.opset < 11 => (None, to.filled(call, 1)),
        _ => (to.filled(call, 3), to.filled(call, 2)),
    };
    if sizes.is_some() == scales.is_some() {
        return Err(call.fault("it needs either sizes or scales"));
    }
    if call.word("coordinate_transformation_mode")? == Some("tf_crop_and_resize") {
        return Err(call.fault("resizing a part (`tf_crop_and_resize`) is not supported"));
    }
    call.only("keep_aspect_ratio_policy", "stretch")?;
    if !matches!(call.ints("axes")?, None | Some([2, 3] | [-2, -1])) {
        return Err(call.fault("its `axes` are others than height and width"));
    }
    to.single(call, Prim::Resize, vec![Some(input), sizes, scales])
}
