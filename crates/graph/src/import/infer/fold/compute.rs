//! What operations compute from elements.

use detrace_flops::{Shape, numel};

use super::number;
use super::place::{flat, places, stretched};
use crate::import::infer::call::Call;
use crate::import::infer::elementwise;
use crate::import::ir::{Binary, DType, Reduce, Unary, Value};

/// Numbers of a type; `None` if a number that is not known, or none of that type, is among them.
pub(super) fn typed(dtype: DType, values: Vec<f64>) -> Option<Value> {
    if dtype == DType::Float {
        return values.iter().all(|value| !value.is_nan()).then_some(Value::Floats(values));
    }
    let whole = |value: f64| (value.abs() < 9.2e18).then_some(value as i64);
    values.into_iter().map(whole).collect::<Option<_>>().map(Value::Ints)
}

/// One operation on two operands, broadcast.
pub(super) fn binary(op: Binary, shape: &[usize], x: (&Value, &Shape), y: (&Value, &Shape)) -> Option<Value> {
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

/// One operation on each element.
pub(super) fn unary(op: Unary, dtype: DType, value: &Value) -> Option<Value> {
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
pub(super) fn reduce(call: &Call<'_, '_>, op: Reduce, shape: &[usize], dtype: DType, value: &Value) -> Option<Value> {
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
