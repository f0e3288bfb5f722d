//! Shapes of what arranges elements in another way, and of what makes new ones.

use detrace_flops::Shape;

use super::call::Call;
use super::{Made, Result, one};
use crate::import::ir::{DType, Prim};

pub(super) fn shapes(call: &Call<'_, '_>) -> Result<Made> {
    let dtype = call.dtype();
    match call.prim() {
        Prim::Reshape { zero } => one(reshape(call, *zero)?, dtype),
        Prim::Flatten { start, stop } => {
            let shape = call.shape(0)?;
            if shape.is_empty() {
                return one(vec![1], dtype);
            }
            let (start, stop) = (call.axis(*start, shape.len())?, call.axis(*stop, shape.len())?);
            if start > stop {
                return Err(call.fault(format!("axes {start} to {stop} are none")));
            }
            let flat = shape[start..=stop].iter().product();
            one([&shape[..start], &[flat], &shape[stop + 1..]].concat(), dtype)
        }
        Prim::FlattenTo2d { axis } => {
            let shape = call.shape(0)?;
            let axis = if *axis == shape.len() as i64 { shape.len() } else { call.axis(*axis, shape.len())? };
            let (rows, columns) = shape.split_at(axis);
            one(vec![rows.iter().product(), columns.iter().product()], dtype)
        }
        Prim::Squeeze { lenient } => one(squeeze(call, *lenient)?, dtype),
        Prim::Unsqueeze { one_by_one } => one(unsqueeze(call, *one_by_one)?, dtype),
        Prim::Transpose(_) => {
            let shape = call.shape(0)?;
            one(transposition(call)?.into_iter().map(|axis| shape[axis]).collect(), dtype)
        }
        Prim::MoveAxis { from, to } => {
            let mut shape = call.shape(0)?.to_vec();
            let (from, to) = (call.axis(*from, shape.len())?, call.axis(*to, shape.len())?);
            let size = shape.remove(from);
            shape.insert(to, size);
            one(shape, dtype)
        }
        Prim::Expand => {
            let shape = call.shape(0)?;
            let wanted = call.ints(1)?;
            let kept = wanted.iter().map(|&size| if size == -1 { Ok(1) } else { call.size(size) });
            let wanted: Shape = kept.collect::<Result<_>>()?;
            one(call.broadcast(&[shape, &wanted])?, dtype)
        }
        Prim::ExpandAs => one(call.broadcast(&[call.shape(0)?, call.shape(1)?])?, dtype),
        Prim::Broadcast => {
            let inputs = call.inputs()?;
            let shapes: Vec<&[usize]> = inputs.iter().map(|fact| fact.shape.as_slice()).collect();
            let common = call.broadcast(&shapes)?;
            // As many results as are wanted: each is as large as all inputs' shapes together.
            Ok(inputs.iter().take(call.node.outputs.len()).map(|fact| (common.clone(), fact.dtype)).collect())
        }
        Prim::Tile => {
            let (mut shape, mut repeats) = (call.shape(0)?.to_vec(), call.ints(1)?);
            let rank = shape.len().max(repeats.len());
            shape.splice(0..0, vec![1; rank - shape.len()]);
            repeats.splice(0..0, vec![1; rank - repeats.len()]);
            for (size, &times) in shape.iter_mut().zip(&repeats) {
                *size = size.saturating_mul(call.size(times)?);
            }
            one(shape, dtype)
        }
        Prim::Concat { axis } => {
            let inputs = call.inputs()?;
            let first = &inputs[0].shape;
            let axis = call.axis(*axis, first.len())?;
            let mut joined = first.clone();
            for input in &inputs[1..] {
                let mut other = input.shape.clone();
                if other.len() != first.len() {
                    return Err(call.fault(format!("{other:?} cannot be joined to {first:?}")));
                }
                let size = std::mem::replace(&mut other[axis], joined[axis]);
                if other != joined {
                    return Err(call.fault(format!("{:?} cannot be joined to {first:?} along {axis}", input.shape)));
                }
                joined[axis] = joined[axis].saturating_add(size);
            }
            one(joined, dtype)
        }
        Prim::Stack { axis } => {
            let inputs = call.inputs()?;
            let first = &inputs[0].shape;
            if let Some(other) = inputs.iter().find(|input| input.shape != *first) {
                return Err(call.fault(format!("{:?} cannot be stacked on {first:?}", other.shape)));
            }
            let mut shape = first.clone();
            shape.insert(call.axis(*axis, first.len() + 1)?, inputs.len());
            one(shape, dtype)
        }
        Prim::Range => {
            let [start, limit, step] = [call.numbers(0)?, call.numbers(1)?, call.numbers(2)?];
            let ([start], [limit], [step]) = (&start[..], &limit[..], &step[..]) else {
                return Err(call.fault("its start, limit and step are not single numbers"));
            };
            let count = ((limit - start) / step).ceil().max(0.0);
            if *step == 0.0 || !count.is_finite() || count > 9e15 {
                return Err(call.fault(format!("there is no range from {start} to {limit} by {step}")));
            }
            one(vec![count as usize], dtype)
        }
        Prim::Meshgrid => {
            let inputs = call.inputs()?;
            if let Some(input) = inputs.iter().find(|input| input.shape.len() > 1) {
                return Err(call.fault(format!("{:?} is no row of coordinates", input.shape)));
            }
            let shape: Shape = inputs.iter().map(|input| input.shape.first().copied().unwrap_or(1)).collect();
            Ok(inputs.iter().take(call.node.outputs.len()).map(|input| (shape.clone(), input.dtype)).collect())
        }
        Prim::Shape { .. } => one(vec![dims_of(call)?.len()], DType::Int),
        Prim::Size => one(Vec::new(), DType::Int),
        Prim::Fill { dtype, .. } => {
            let sizes = call.ints(0)?;
            one(sizes.iter().map(|&size| call.size(size)).collect::<Result<_>>()?, *dtype)
        }
        Prim::FillLike { dtype, .. } => one(call.shape(0)?.to_vec(), *dtype),
        _ => Ok(Vec::new()),
    }
}

fn reshape(call: &Call<'_, '_>, zero: bool) -> Result<Shape> {
    let (shape, wanted) = (call.shape(0)?, call.ints(1)?);
    let unfit = || call.fault(format!("{shape:?} cannot be reshaped to {wanted:?}"));
    let mut result = Shape::new();
    let mut rest = None;
    for (axis, &size) in wanted.iter().enumerate() {
        result.push(match size {
            0 if !zero => *shape.get(axis).ok_or_else(unfit)?,
            -1 if rest.replace(axis).is_none() => 1,
            _ => usize::try_from(size).map_err(|_| unfit())?,
        });
    }
    let elements: usize = shape.iter().product();
    let known = result.iter().try_fold(1usize, |known, &size| known.checked_mul(size)).ok_or_else(unfit)?;
    match rest {
        Some(axis) if known > 0 && elements.is_multiple_of(known) => result[axis] = elements / known,
        None if known == elements => {}
        _ => return Err(unfit()),
    }
    Ok(result)
}

fn squeeze(call: &Call<'_, '_>, lenient: bool) -> Result<Shape> {
    let shape = call.shape(0)?;
    let axes = match call.maybe_ints(1)? {
        Some(axes) => call.axes(&axes, shape.len())?,
        None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
    };
    if let Some(&axis) = axes.iter().find(|&&axis| shape[axis] != 1 && !lenient) {
        return Err(call.fault(format!("axis {axis} of {shape:?} cannot be dropped")));
    }
    let kept = shape.iter().enumerate().filter(|(axis, size)| **size != 1 || !axes.contains(axis));
    Ok(kept.map(|(_, &size)| size).collect())
}

fn unsqueeze(call: &Call<'_, '_>, one_by_one: bool) -> Result<Shape> {
    let (mut shape, axes) = (call.shape(0)?.to_vec(), call.ints(1)?);
    let rank = shape.len() + axes.len();
    if one_by_one {
        for &axis in &axes {
            let axis = call.axis(axis, shape.len() + 1)?;
            shape.insert(axis, 1);
        }
        return Ok(shape);
    }
    let mut axes = call.axes(&axes, rank)?;
    axes.sort_unstable();
    for axis in axes {
        shape.insert(axis, 1);
    }
    Ok(shape)
}

/// The order of axes of a transposition.
pub(super) fn transposition(call: &Call<'_, '_>) -> Result<Vec<usize>> {
    let shape = call.shape(0)?;
    let Prim::Transpose(Some(order)) = call.prim() else { return Ok((0..shape.len()).rev().collect()) };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..shape.len()).collect::<Vec<usize>>() {
        return Err(call.fault(format!("{order:?} is no order of {} axes", shape.len())));
    }
    Ok(order.clone())
}

/// The dimensions that `Shape` gives.
pub(super) fn dims_of<'a>(call: &Call<'a, '_>) -> Result<&'a [usize]> {
    let shape = call.shape(0)?;
    let Prim::Shape { start, end } = call.prim() else { return Ok(&[]) };
    let rank = shape.len() as i64;
    let placed = |bound: i64| (if bound < 0 { bound.saturating_add(rank) } else { bound }).clamp(0, rank) as usize;
    let (start, end) = (placed(*start), placed(end.unwrap_or(rank)));
    Ok(shape.get(start..end).unwrap_or(&[]))
}
