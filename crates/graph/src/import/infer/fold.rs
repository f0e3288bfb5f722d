//! The elements of small tensors that depend on shapes and constants alone.

use detrace_flops::{Shape, numel};

use super::call::Call;
use super::{Made, elementwise, is_view, layout, select};
use crate::import::ir::{Binary, DType, MAX_FOLDED, Prim, Reduce, Unary, Value};

/// The values of a node's outputs, as far as they can be computed.
pub(super) fn fold(call: &Call<'_, '_>, made: &Made) -> Vec<Option<Value>> {
    if made.iter().any(|(shape, _)| numel(shape) > MAX_FOLDED as u64) {
        return Vec::new();
    }
    values(call, made).unwrap_or_default()
}

/// An element as a number.
pub(super) fn number(value: &Value, index: usize) -> Option<f64> {
    match value {
        Value::Ints(values) => values.get(index).map(|&value| value as f64),
        Value::Floats(values) => values.get(index).copied(),
    }
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

/// Numbers of a type; `None` if a number that is not known, or none of that type, is among them.
fn typed(dtype: DType, values: Vec<f64>) -> Option<Value> {
    if dtype == DType::Float {
        return values.iter().all(|value| !value.is_nan()).then_some(Value::Floats(values));
    }
    let whole = |value: f64| (value.abs() < 9.2e18).then_some(value as i64);
    values.into_iter().map(whole).collect::<Option<_>>().map(Value::Ints)
}

/// Calls `f` with every place in a shape, in row-major order, until it gives none.
fn places<T>(shape: &[usize], mut f: impl FnMut(&[usize]) -> Option<T>) -> Option<Vec<T>> {
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
fn flat(shape: &[usize], place: &[usize]) -> Option<usize> {
    shape.iter().zip(place).try_fold(0usize, |flat, (&size, &index)| (index < size).then_some(flat * size + index))
}

/// Elements of `value` (of shape `from`), each from the place that `source` gives for its own.
fn picked(shape: &[usize], value: &Value, from: &[usize], source: impl Fn(&[usize]) -> Vec<usize>) -> Option<Value> {
    let sources = places(shape, |place| flat(from, &source(place)))?;
    Some(match value {
        Value::Ints(values) => Value::Ints(sources.iter().map(|&at| values.get(at).copied()).collect::<Option<_>>()?),
        Value::Floats(values) => {
            Value::Floats(sources.iter().map(|&at| values.get(at).copied()).collect::<Option<_>>()?)
        }
    })
}

/// Broadcasts.
fn stretched(shape: &[usize], value: &Value, from: &[usize]) -> Option<Value> {
    let lead = shape.len().checked_sub(from.len())?;
    picked(shape, value, from, |place| {
        place[lead..].iter().zip(from).map(|(&index, &size)| if size == 1 { 0 } else { index }).collect()
    })
}

fn binary(op: Binary, shape: &[usize], x: (&Value, &Shape), y: (&Value, &Shape)) -> Option<Value> {
    let (x, y) = (stretched(shape, x.0, x.1)?, stretched(shape, y.0, y.1)?);
    let truth = |value: bool| Some(i64::from(value));
    if let (Value::Ints(x), Value::Ints(y)) = (&x, &y) {
        let values = x.iter().zip(y).map(|(&x, &y)| match op {
            Binary::Add => x.checked_add(y),
            Binary::Sub => x.checked_sub(y),
            Binary::Mul => x.checked_mul(y),
            Binary::Div => x.checked_div(y),
            Binary::FloorDiv => x.checked_div_euclid(y).filter(|_| y > 0),
            Binary::Mod => x.checked_rem_euclid(y).filter(|_| y > 0),
            Binary::Pow => x.checked_pow(u32::try_from(y).ok()?),
            Binary::Max => Some(x.max(y)),
            Binary::Min => Some(x.min(y)),
            Binary::Equal => truth(x == y),
            Binary::NotEqual => truth(x != y),
            Binary::Less => truth(x < y),
            Binary::LessEqual => truth(x <= y),
            Binary::Greater => truth(x > y),
            Binary::GreaterEqual => truth(x >= y),
            Binary::And => Some(x & y),
            Binary::Or => Some(x | y),
            Binary::Xor => Some(x ^ y),
        });
        return values.collect::<Option<_>>().map(Value::Ints);
    }
    let pairs = || (0..x.len()).map(|index| Some((number(&x, index)?, number(&y, index)?)));
    let compared = |compare: fn(f64, f64) -> bool| {
        pairs().map(|pair| pair.map(|(x, y)| i64::from(compare(x, y)))).collect::<Option<_>>().map(Value::Ints)
    };
    let computed = |compute: fn(f64, f64) -> f64| {
        typed(DType::Float, pairs().map(|pair| pair.map(|(x, y)| compute(x, y))).collect::<Option<_>>()?)
    };
    match op {
        Binary::Add => computed(|x, y| x + y),
        Binary::Sub => computed(|x, y| x - y),
        Binary::Mul => computed(|x, y| x * y),
        Binary::Div => computed(|x, y| x / y),
        Binary::FloorDiv => computed(|x, y| (x / y).floor()),
        Binary::Mod => computed(|x, y| x - y * (x / y).floor()),
        Binary::Pow => computed(f64::powf),
        Binary::Max => computed(f64::max),
        Binary::Min => computed(f64::min),
        Binary::Equal => compared(|x, y| x == y),
        Binary::NotEqual => compared(|x, y| x != y),
        Binary::Less => compared(|x, y| x < y),
        Binary::LessEqual => compared(|x, y| x <= y),
        Binary::Greater => compared(|x, y| x > y),
        Binary::GreaterEqual => compared(|x, y| x >= y),
        Binary::And | Binary::Or | Binary::Xor => None,
    }
}

fn unary(op: Unary, dtype: DType, value: &Value) -> Option<Value> {
    let compute: fn(f64) -> f64 = match op {
        Unary::Relu => |x| x.max(0.0),
        Unary::Exp => f64::exp,
        Unary::Log => f64::ln,
        Unary::Sqrt => f64::sqrt,
        Unary::Rsqrt => |x| 1.0 / x.sqrt(),
        Unary::Square => |x| x * x,
        Unary::Reciprocal => |x| 1.0 / x,
        Unary::Neg => |x| -x,
        Unary::Abs => f64::abs,
        Unary::Sin => f64::sin,
        Unary::Cos => f64::cos,
        Unary::Floor => f64::floor,
        Unary::Ceil => f64::ceil,
        Unary::Round => f64::round_ties_even,
        Unary::Not => |x| f64::from(u8::from(x == 0.0)),
        // Casts of integers keep every digit.
        Unary::Cast(DType::Int) if matches!(value, Value::Ints(_)) => return Some(value.clone()),
        Unary::Cast(DType::Bool) => |x| f64::from(u8::from(x != 0.0)),
        Unary::Cast(DType::Int) => f64::trunc,
        Unary::Cast(DType::Float) => |x| x,
        Unary::Affine { scale, bias } => {
            let scaled = (0..value.len()).map(|index| number(value, index).map(|x| scale * x + bias));
            return typed(dtype, scaled.collect::<Option<_>>()?);
        }
        _ => return None,
    };
    typed(dtype, (0..value.len()).map(|index| number(value, index).map(compute)).collect::<Option<_>>()?)
}

/// Sums, products and extremes.
fn reduce(call: &Call<'_, '_>, op: Reduce, shape: &[usize], dtype: DType, value: &Value) -> Option<Value> {
    let from = call.shape(0).ok()?;
    let dims = elementwise::reduced(call).ok()?;
    let (start, join): (f64, fn(f64, f64) -> f64) = match op {
        Reduce::Sum => (0.0, |a, b| a + b),
        Reduce::Prod => (1.0, |a, b| a * b),
        Reduce::Max => (f64::NEG_INFINITY, f64::max),
        Reduce::Min => (f64::INFINITY, f64::min),
        _ => return None,
    };
    let mut results = vec![start; numel(shape) as usize];
    let mut next = 0;
    places(from, |place| {
        // Reduced dimensions are either gone or of size 1.
        let kept =
            place.iter().zip(&dims).filter_map(|(&index, (gone, size))| size.map(|_| if *gone { 0 } else { index }));
        let at = flat(shape, &kept.collect::<Vec<usize>>())?;
        results[at] = join(results[at], number(value, next)?);
        next += 1;
        Some(())
    })?;
    typed(dtype, results)
}

/// The inputs side by side; with `stacked`, each is one slice of the axis.
fn joined(call: &Call<'_, '_>, axis: i64, shape: &[usize], stacked: bool) -> Option<Value> {
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
fn split(call: &Call<'_, '_>, axis: i64, made: &Made) -> Option<Vec<Option<Value>>> {
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
