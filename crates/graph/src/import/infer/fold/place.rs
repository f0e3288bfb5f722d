//! Where operations that only move elements take them from.

use detrace_flops::numel;

use super::number;
use crate::import::infer::Made;
use crate::import::infer::call::Call;
use crate::import::ir::{MAX_FOLDED, Prim, Value};

/// Calls `f` with every place in a shape, in row-major order, until it gives none.
pub(super) fn places<T>(shape: &[usize], mut f: impl FnMut(&[usize]) -> Option<T>) -> Option<Vec<T>> {
    let mut place = vec![0; shape.len()];
    let count = numel(shape);
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(f(&place)?);
        for axis in (0..shape.len()).rev() {
            place[axis] += 1;
            if place[axis] < shape[axis] {
                break;
            }
            place[axis] = 0;
        }
    }
    Some(values)
}

/// The number of a place in row-major order, if it is in the shape.
pub(super) fn flat(shape: &[usize], place: &[usize]) -> Option<usize> {
    shape.iter().zip(place).try_fold(0usize, |flat, (&size, &index)| (index < size).then_some(flat * size + index))
}

/// Elements of `value` (of shape `from`), each from the place that `source` gives for its own.
pub(super) fn picked(
    shape: &[usize],
    value: &Value,
    from: &[usize],
    source: impl Fn(&[usize]) -> Vec<usize>,
) -> Option<Value> {
    let sources = places(shape, |place| flat(from, &source(place)))?;
    Some(match value {
        Value::Ints(values) => Value::Ints(sources.iter().map(|&at| values.get(at).copied()).collect::<Option<_>>()?),
        Value::Floats(values) => {
            Value::Floats(sources.iter().map(|&at| values.get(at).copied()).collect::<Option<_>>()?)
        }
    })
}

/// Broadcasts.
pub(super) fn stretched(shape: &[usize], value: &Value, from: &[usize]) -> Option<Value> {
    let lead = shape.len().checked_sub(from.len())?;
    picked(shape, value, from, |place| {
        place[lead..].iter().zip(from).map(|(&index, &size)| if size == 1 { 0 } else { index }).collect()
    })
}

/// The inputs side by side; with `stacked`, each is one slice of the axis.
pub(super) fn joined(call: &Call<'_, '_>, axis: i64, shape: &[usize], stacked: bool) -> Option<Value> {
    let axis = call.axis(axis, shape.len()).ok()?;
    let inputs = call.inputs().ok()?;
    // Only empty ones could be more.
    if inputs.len() > MAX_FOLDED {
        return None;
    }
    let sizes: Vec<usize> = inputs.iter().map(|fact| if stacked { 1 } else { fact.shape[axis] }).collect();
    let numbers = places(shape, |place| {
        let mut at = place[axis];
        let mut part = 0;
        while at >= *sizes.get(part)? {
            at -= sizes[part];
            part += 1;
        }
        let mut inner = place.to_vec();
        inner[axis] = at;
        if stacked {
            inner.remove(axis);
        }
        Some((part, flat(&inputs[part].shape, &inner)?))
    })?;
    let values: Vec<&Value> = inputs.iter().map(|fact| fact.value.as_deref()).collect::<Option<_>>()?;
    if values.iter().all(|value| matches!(value, Value::Ints(_))) {
        let whole = |&(part, at): &(usize, usize)| match values[part] {
            Value::Ints(values) => values.get(at).copied(),
            Value::Floats(_) => None,
        };
        return numbers.iter().map(whole).collect::<Option<_>>().map(Value::Ints);
    }
    numbers.iter().map(|&(part, at)| number(values[part], at)).collect::<Option<_>>().map(Value::Floats)
}

/// Parts of an axis, or its slices.
pub(super) fn split(call: &Call<'_, '_>, axis: i64, made: &Made) -> Option<Vec<Option<Value>>> {
    let fact = call.maybe(0)?;
    let value = fact.value.as_deref()?;
    let axis = call.axis(axis, fact.shape.len()).ok()?;
    let slices = matches!(call.prim(), Prim::Unstack { .. });
    let mut before = 0;
    let parts = made.iter().map(|(shape, _)| {
        let from = before;
        before += if slices { 1 } else { shape[axis] };
        picked(shape, value, &fact.shape, |place| {
            let mut source = place.to_vec();
            if slices {
                source.insert(axis, from);
            } else {
                source[axis] += from;
            }
            source
        })
    });
    Some(parts.collect())
}
