//! Shapes of what takes some elements: slices, gathers, splits, the largest.

use super::call::Call;
use super::{Made, Result, one};
use crate::import::ir::{DType, Prim};

pub(super) fn shapes(call: &Call<'_, '_>) -> Result<Made> {
    let (shape, dtype) = (call.shape(0)?, call.dtype());
    match call.prim() {
        Prim::Slice => one(ranges(call)?.iter().map(|range| range.count).collect(), dtype),
        Prim::Gather { axis } => {
            let axis = call.axis(*axis, shape.len())?;
            let index = call.shape(1)?;
            one([&shape[..axis], index, &shape[axis + 1..]].concat(), dtype)
        }
        Prim::GatherElements { axis } => {
            call.axis(*axis, shape.len())?;
            let index = call.shape(1)?;
            if index.len() != shape.len() {
                return Err(call.fault(format!("an index of shape {index:?} does not fit {shape:?}")));
            }
            one(index.to_vec(), dtype)
        }
        Prim::GatherNd { batch_dims } => {
            let index = call.shape(1)?;
            let tuple = index.last().copied().unwrap_or(0);
            let rest = batch_dims.checked_add(tuple).and_then(|taken| shape.get(taken..));
            match rest {
                Some(rest) if !index.is_empty() => one([&index[..index.len() - 1], rest].concat(), dtype),
                _ => Err(call.fault(format!("indices of shape {index:?} do not fit {shape:?}"))),
            }
        }
        Prim::Split { axis } => {
            let axis = call.axis(*axis, shape.len())?;
            let parts = parts(call, shape[axis])?;
            let part = |&size: &usize| {
                let mut shape = shape.to_vec();
                shape[axis] = size;
                (shape, dtype)
            };
            Ok(parts.iter().map(part).collect())
        }
        Prim::Unstack { axis } => {
            let axis = call.axis(*axis, shape.len())?;
            let outputs = call.node.outputs.len();
            if outputs > shape[axis] {
                return Err(call.fault(format!("it takes {outputs} slices of {shape:?} along axis {axis}")));
            }
            let slice = [&shape[..axis], &shape[axis + 1..]].concat();
            Ok(vec![(slice, dtype); outputs])
        }
        Prim::TopK { axis } => {
            let axis = call.axis(*axis, shape.len())?;
            let mut shape = shape.to_vec();
            if call.maybe(1).is_some() {
                let k = call.size(call.int(1)?)?;
                if k > shape[axis] {
                    return Err(call.fault(format!("there are no {k} largest of {}", shape[axis])));
                }
                shape[axis] = k;
            }
            Ok(vec![(shape.clone(), dtype), (shape, DType::Int)])
        }
        Prim::OneHot { axis, dtype } => {
            let depth = call.size(call.int(1)?)?;
            let axis = call.axis(*axis, shape.len() + 1)?;
            let mut shape = shape.to_vec();
            shape.insert(axis, depth);
            one(shape, *dtype)
        }
        _ => Ok(Vec::new()),
    }
}

/// The elements of one axis that a slice takes.
pub(super) struct Range {
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) count: usize,
}

/// What a slice takes of each axis.
pub(super) fn ranges(call: &Call<'_, '_>) -> Result<Vec<Range>> {
    let shape = call.shape(0)?;
    let (starts, ends) = (call.ints(1)?, call.ints(2)?);
    let axes = match call.maybe_ints(3)? {
        Some(axes) => call.axes(&axes, shape.len())?,
        None => (0..starts.len()).collect(),
    };
    let steps = call.maybe_ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || axes.len() > shape.len() {
        return Err(call.fault(format!(
            "{} starts, {} ends, {} axes and {} steps for {shape:?}",
            starts.len(),
            ends.len(),
            axes.len(),
            steps.len()
        )));
    }
    let mut ranges: Vec<Range> = shape.iter().map(|&count| Range { start: 0, step: 1, count }).collect();
    for (index, &axis) in axes.iter().enumerate() {
        let size = shape[axis] as i64;
        let step = steps[index];
        // Negative bounds count from the end; then both are put where an element, or the place behind the last, is.
        let (lowest, highest) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let placed = |bound: i64| {
            let bound = if bound < 0 { bound.saturating_add(size) } else { bound };
            bound.clamp(lowest, highest.max(lowest))
        };
        let (start, end) = (placed(starts[index]), placed(ends[index]));
        let count = match step {
            0 => return Err(call.fault("it has a step of 0")),
            1.. => (end - start).max(0).unsigned_abs().div_ceil(step.unsigned_abs()),
            _ => (start - end).max(0).unsigned_abs().div_ceil(step.unsigned_abs()),
        };
        ranges[axis] = Range { start, step, count: count as usize };
    }
    Ok(ranges)
}

/// The sizes of the parts of a split.
pub(super) fn parts(call: &Call<'_, '_>, size: usize) -> Result<Vec<usize>> {
    let Some(sizes) = call.maybe_ints(1)? else {
        let count = call.node.outputs.len().max(1);
        let part = size.div_ceil(count);
        let last = (count - 1).checked_mul(part).and_then(|before| size.checked_sub(before));
        let last = last.filter(|&last| last > 0 || size == 0);
        let last = last.ok_or_else(|| call.fault(format!("{size} cannot be split into {count} parts")))?;
        let mut parts = vec![part; count];
        parts[count - 1] = last;
        return Ok(parts);
    };
    let unfit = || call.fault(format!("{size} cannot be split into {sizes:?}"));
    let known = sizes.iter().filter(|&&part| part != -1);
    let known = known.map(|&part| usize::try_from(part).ok()).collect::<Option<Vec<usize>>>().ok_or_else(unfit)?;
    let sum = known.iter().try_fold(0usize, |sum, &part| sum.checked_add(part)).ok_or_else(unfit)?;
    let rest = size.checked_sub(sum).ok_or_else(unfit)?;
    match sizes.len() - known.len() {
        0 if rest == 0 => Ok(known),
        1 => Ok(sizes.iter().map(|&part| usize::try_from(part).unwrap_or(rest)).collect()),
        _ => Err(unfit()),
    }
}
