//! Shapes of what works on feature maps.

use super::call::Call;
use super::{Made, Result, one};
use crate::import::ir::{Padding, Pool, Prim};

pub(super) fn shapes(call: &Call<'_, '_>) -> Result<Made> {
    let dtype = call.dtype();
    match call.prim() {
        Prim::Conv(conv) => {
            let [batch, channels, height, width] = call.dims(0)?;
            let [output, input, kh, kw] = call.dims(1)?;
            if input.checked_mul(conv.groups) != Some(channels) || conv.groups == 0 || output % conv.groups != 0 {
                return Err(call.fault(format!(
                    "{channels} channels do not go into {} groups with a weight {output}x{input}x{kh}x{kw}",
                    conv.groups
                )));
            }
            per_channel(call, &[2], output)?;
            let window = Window {
                kernel: [kh, kw],
                stride: conv.stride,
                padding: &conv.padding,
                dilation: conv.dilation,
                ceil: false,
                clip_last: false,
            };
            let [height, width] = window.over(call, [height, width])?;
            one(vec![batch, output, height, width], dtype)
        }
        Prim::MaxPool(pool) | Prim::AvgPool(pool) => {
            let [batch, channels, height, width] = call.dims(0)?;
            let [height, width] = match pool {
                Pool::Global => [1, 1],
                Pool::Adaptive(size) => *size,
                Pool::Window { kernel, stride, padding, dilation, ceil, clip_last } => {
                    let (kernel, stride, dilation) = (*kernel, *stride, *dilation);
                    let window = Window { kernel, stride, padding, dilation, ceil: *ceil, clip_last: *clip_last };
                    window.over(call, [height, width])?
                }
            };
            one(vec![batch, channels, height, width], dtype)
        }
        Prim::BatchNorm => {
            let shape = call.shape(0)?;
            let channels = *shape.get(1).ok_or_else(|| call.fault(format!("its input {shape:?} has no channels")))?;
            per_channel(call, &[1, 2, 3, 4], channels)?;
            one(shape.to_vec(), dtype)
        }
        Prim::Resize => resize(call),
        Prim::GridSample => {
            let [batch, channels, _, _] = call.dims(0)?;
            let [places_of, height, width, two] = call.dims(1)?;
            if places_of != batch || two != 2 {
                return Err(call.fault(format!(
                    "places {places_of}x{height}x{width}x{two} do not fit {batch} maps; they are pairs for each map"
                )));
            }
            one(vec![batch, channels, height, width], dtype)
        }
        _ => pad(call),
    }
}

/// Checks parameters with one element a channel.
fn per_channel(call: &Call<'_, '_>, inputs: &[usize], channels: usize) -> Result<()> {
    for &index in inputs {
        if let Some(param) = call.maybe(index)
            && param.shape.iter().product::<usize>() != channels
        {
            let named = call.named(index);
            return Err(call.fault(format!("{named} has the shape {:?} for {channels} channels", param.shape)));
        }
    }
    Ok(())
}

struct Window<'a> {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: &'a Padding,
    dilation: [usize; 2],
    ceil: bool,
    clip_last: bool,
}

impl Window<'_> {
    /// Height and width that it leaves.
    fn over(&self, call: &Call<'_, '_>, size: [usize; 2]) -> Result<[usize; 2]> {
        let [height, width] = [0, 1].map(|axis| self.places(axis, size[axis]));
        match (height, width) {
            (Some(height), Some(width)) => Ok([height, width]),
            _ => Err(call.fault(format!(
                "a window {}x{} with stride {}x{} and padding {:?} does not go into {}x{}",
                self.kernel[0], self.kernel[1], self.stride[0], self.stride[1], self.padding, size[0], size[1]
            ))),
        }
    }

    /// Places of the window along one axis.
    fn places(&self, axis: usize, size: usize) -> Option<usize> {
        let of = |sizes: [usize; 2]| sizes[axis] as i128;
        let (size, kernel, stride, dilation) = (size as i128, of(self.kernel), of(self.stride), of(self.dilation));
        if kernel < 1 || stride < 1 || dilation < 1 {
            return None;
        }
        let (before, after) = match self.padding {
            Padding::Same => return usize::try_from((size + stride - 1) / stride).ok(),
            Padding::Valid => (0, 0),
            Padding::Explicit(before, after) => (of(*before), of(*after)),
        };
        let room = size + before + after - dilation.checked_mul(kernel - 1)?.checked_add(1)?;
        if room < 0 {
            return None;
        }
        let mut places = if self.ceil { (room + stride - 1) / stride + 1 } else { room / stride + 1 };
        if self.ceil && self.clip_last && (places - 1) * stride >= size + before {
            places -= 1;
        }
        usize::try_from(places).ok()
    }
}

/// Of all dimensions or of the last two.
fn resize(call: &Call<'_, '_>) -> Result<Made> {
    let shape = call.shape(0)?;
    let sizes = match (call.maybe(1), call.maybe(2)) {
        (Some(_), _) => {
            let sizes = call.ints(1)?;
            sizes.iter().map(|&size| call.size(size)).collect::<Result<Vec<usize>>>()?
        }
        (None, Some(_)) => {
            let scales = call.numbers(2)?;
            let last = shape.len().saturating_sub(scales.len());
            let scaled = shape[last..].iter().zip(&scales).map(|(&size, scale)| {
                let scaled = (size as f64 * scale).floor();
                (0.0..9e15)
                    .contains(&scaled)
                    .then_some(scaled as usize)
                    .ok_or_else(|| call.fault(format!("{scale} is no scale for a size of {size}")))
            });
            scaled.collect::<Result<_>>()?
        }
        (None, None) => return Err(call.fault("it has neither sizes nor scales")),
    };
    let rank = shape.len();
    if sizes.len() != rank && !(sizes.len() == 2 && rank > 2) {
        return Err(call.fault(format!("{} sizes do not fit {rank} dimensions", sizes.len())));
    }
    let kept = rank - sizes.len();
    one(shape[..kept].iter().copied().chain(sizes).collect(), call.dtype())
}

/// The paddings before and after each dimension, negative ones cut.
fn pads(call: &Call<'_, '_>) -> Result<Vec<[i64; 2]>> {
    let rank = call.shape(0)?.len();
    let pads = call.ints(1)?;
    let axes = match call.maybe_ints(2)? {
        Some(axes) => call.axes(&axes, rank)?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(call.fault(format!("{} paddings do not fit {} dimensions", pads.len(), axes.len())));
    }
    let mut each = vec![[0, 0]; rank];
    for (index, &axis) in axes.iter().enumerate() {
        each[axis] = [pads[index], pads[index + axes.len()]];
    }
    Ok(each)
}

fn pad(call: &Call<'_, '_>) -> Result<Made> {
    let mut shape = call.shape(0)?.to_vec();
    for (axis, [before, after]) in pads(call)?.into_iter().enumerate() {
        let size = shape[axis] as i128 + i128::from(before) + i128::from(after);
        shape[axis] = usize::try_from(size).map_err(|_| {
            call.fault(format!("paddings {before} and {after} leave {size} of {} along axis {axis}", shape[axis]))
        })?;
    }
    one(shape, call.dtype())
}

/// Top and left, of a padding of a map's height and width.
pub(super) fn befores(call: &Call<'_, '_>) -> Result<Option<[usize; 2]>> {
    let pads = pads(call)?;
    Ok(match pads.as_slice() {
        [[0, 0], [0, 0], [top, down], [left, right]] if *down >= 0 && *right >= 0 => {
            usize::try_from(*top).ok().zip(usize::try_from(*left).ok()).map(|(top, left)| [top, left])
        }
        _ => None,
    })
}
