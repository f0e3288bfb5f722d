//! The elements of small tensors that depend on shapes and constants alone.

mod compute;
mod place;

use detrace_flops::numel;

use super::call::Call;
use super::{Made, elementwise, is_view, layout, select};
use crate::import::ir::{MAX_FOLDED, Prim, Unary, Value};
use compute::{binary, reduce, typed, unary};
use place::{flat, joined, picked, split, stretched};

/// The values of a node's outputs, as far as they can be computed.
pub(super) fn fold(call: &Call<'_, '_>, made: &Made) -> Vec<Option<Value>> {
    if made.iter().any(|(shape, _)| numel(shape) > MAX_FOLDED as u64) {
        return Vec::new();
    }
    values(call, made).unwrap_or_default()
}

fn values(call: &Call<'_, '_>, made: &Made) -> Option<Vec<Option<Value>>> {
    let (shape, dtype) = made.first()?;
    let input = |index: usize| call.maybe(index)?.value.as_deref();
    let first = || input(0);
    let value = match call.prim() {
        Prim::Shape { .. } => Value::Ints(layout::dims_of(call).ok()?.iter().map(|&size| size as i64).collect()),
        Prim::Size => Value::Ints(vec![i64::try_from(numel(call.shape(0).ok()?)).ok()?]),
        Prim::Fill { value, .. } | Prim::FillLike { value, .. } => typed(*dtype, vec![*value; numel(shape) as usize])?,
        Prim::Range => {
            let (start, step) = (number(input(0)?, 0)?, number(input(2)?, 0)?);
            typed(*dtype, (0..shape[0]).map(|index| start + step * index as f64).collect())?
        }
        Prim::Binary(op, _) => {
            let [x, y] = elementwise::operands(call).ok()?;
            binary(*op, shape, (input(0)?, &x), (input(1)?, &y))?
        }
        Prim::Unary(Unary::Identity) => first()?.clone(),
        Prim::Unary(op) => unary(*op, *dtype, first()?)?,
        Prim::Clip => {
            let bound = |index: usize| call.maybe(index).map(|_| number(input(index)?, 0));
            let (low, high) = (bound(1), bound(2));
            let (low, high) = (low.unwrap_or(Some(f64::NEG_INFINITY))?, high.unwrap_or(Some(f64::INFINITY))?);
            let value = first()?;
            let clipped = (0..value.len()).map(|index| number(value, index).map(|value| value.max(low).min(high)));
            typed(*dtype, clipped.collect::<Option<_>>()?)?
        }
        Prim::Where => {
            let which = stretched(shape, first()?, call.shape(0).ok()?)?;
            let x = stretched(shape, input(1)?, call.shape(1).ok()?)?;
            let y = stretched(shape, input(2)?, call.shape(2).ok()?)?;
            let picked = (0..which.len()).map(|index| {
                let from = if number(&which, index)? != 0.0 { &x } else { &y };
                number(from, index)
            });
            typed(*dtype, picked.collect::<Option<_>>()?)?
        }
        Prim::Reduce { op, .. } => reduce(call, *op, shape, *dtype, first()?)?,
        prim if is_view(prim) || matches!(prim, Prim::Flatten { .. } | Prim::FlattenTo2d { .. }) => first()?.clone(),
        Prim::Expand | Prim::ExpandAs => stretched(shape, first()?, call.shape(0).ok()?)?,
        Prim::Tile => {
            let from = call.shape(0).ok()?;
            let lead = shape.len() - from.len();
            picked(shape, first()?, from, |place| {
                place[lead..].iter().zip(from).map(|(&index, &size)| index % size.max(1)).collect()
            })?
        }
        Prim::Transpose(_) => {
            let (from, order) = (call.shape(0).ok()?, layout::transposition(call).ok()?);
            picked(shape, first()?, from, |place| {
                let mut source = vec![0; place.len()];
                order.iter().zip(place).for_each(|(&axis, &index)| source[axis] = index);
                source
            })?
        }
        Prim::Slice => {
            let ranges = select::ranges(call).ok()?;
            picked(shape, first()?, call.shape(0).ok()?, |place| {
                let source = place.iter().zip(&ranges);
                source.map(|(&index, range)| (range.start + range.step * index as i64) as usize).collect()
            })?
        }
        Prim::Gather { axis } => {
            let (from, index) = (call.shape(0).ok()?, call.shape(1).ok()?);
            let axis = call.axis(*axis, from.len()).ok()?;
            let (indices, behind) = (input(1)?, axis + index.len());
            picked(shape, first()?, from, |place| {
                let at = flat(index, &place[axis..behind]).and_then(|at| number(indices, at)).unwrap_or(f64::NAN);
                let at = if at < 0.0 { at + from[axis] as f64 } else { at };
                // What is no index is beyond every axis, and so is found to be none.
                let at = if at >= 0.0 { at as usize } else { usize::MAX };
                [&place[..axis], &[at], &place[behind..]].concat()
            })?
        }
        Prim::Concat { axis } => return joined(call, *axis, shape, false).map(|value| vec![Some(value)]),
        Prim::Stack { axis } => return joined(call, *axis, shape, true).map(|value| vec![Some(value)]),
        Prim::Split { axis } | Prim::Unstack { axis } => return split(call, *axis, made),
        Prim::Broadcast => {
            let each = made.iter().enumerate();
            return each
                .map(|(index, (shape, _))| Some(stretched(shape, input(index)?, call.shape(index).ok()?)))
                .collect();
        }
        _ => return None,
    };
    Some(vec![Some(value)])
}

/// An element as a number.
pub(super) fn number(value: &Value, index: usize) -> Option<f64> {
    match value {
        Value::Ints(values) => values.get(index).map(|&value| value as f64),
        Value::Floats(values) => values.get(index).copied(),
    }
}
