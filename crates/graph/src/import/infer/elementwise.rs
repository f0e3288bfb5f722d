//! Shapes of elementwise operations, norms and reductions.

use detrace_flops::Shape;

use super::call::Call;
use super::{Made, Result, one};
use crate::import::ir::{Binary, DType, Prim, Reduce, Unary};

pub(super) fn shapes(call: &Call<'_, '_>) -> Result<Made> {
    let (shape, dtype) = (call.shape(0)?, call.dtype());
    match call.prim() {
        Prim::Softmax { axis } => {
            call.axis(*axis, shape.len())?;
        }
        Prim::LayerNorm { axis } => {
            let normed = &shape[call.axis(*axis, shape.len())?..];
            for index in [1, 2] {
                if let Some(param) = call.maybe(index)
                    && param.shape.iter().product::<usize>() != normed.iter().product::<usize>()
                {
                    let named = call.named(index);
                    return Err(call.fault(format!("{named} has the shape {:?} for {normed:?}", param.shape)));
                }
            }
        }
        Prim::Binary(op, _) => {
            let [x, y] = operands(call)?;
            let dtype = binary_type(*op, dtype, call.input(1)?.dtype);
            return one(call.broadcast(&[&x, &y])?, dtype);
        }
        Prim::Unary(Unary::Cast(dtype)) => return one(shape.to_vec(), *dtype),
        Prim::Where => {
            let (x, y) = (call.input(1)?, call.input(2)?);
            return one(call.broadcast(&[shape, &x.shape, &y.shape])?, x.dtype);
        }
        Prim::Reduce { op, .. } => {
            let dtype = match op {
                Reduce::ArgMax | Reduce::ArgMin => DType::Int,
                Reduce::Any | Reduce::All => DType::Bool,
                _ => dtype,
            };
            let reduced = reduced(call)?;
            return one(reduced.into_iter().filter_map(|(_, size)| size).collect(), dtype);
        }
        _ => {}
    }
    one(shape.to_vec(), dtype)
}

fn binary_type(op: Binary, x: DType, y: DType) -> DType {
    match op {
        Binary::Equal
        | Binary::NotEqual
        | Binary::Less
        | Binary::LessEqual
        | Binary::Greater
        | Binary::GreaterEqual => DType::Bool,
        _ if x == DType::Float || y == DType::Float => DType::Float,
        _ if x == DType::Bool => y,
        _ => x,
    }
}

/// The shapes of two operands such that numpy's broadcasting fits them: with an axis, the second one's dimensions stand
/// against the first one's from there on.
pub(super) fn operands(call: &Call<'_, '_>) -> Result<[Shape; 2]> {
    let (x, y) = (call.shape(0)?, call.shape(1)?);
    let mut aligned = y.to_vec();
    if let Prim::Binary(_, Some(axis)) = call.prim() {
        let axis = call.axis(*axis, x.len().max(1))?;
        // Trailing dimensions of size 1 may stand beyond the first operand's last.
        while axis + aligned.len() > x.len() && aligned.last() == Some(&1) {
            aligned.pop();
        }
        if axis + aligned.len() > x.len() {
            return Err(call.fault(format!("the shape {y:?} does not go into {x:?} from axis {axis} on")));
        }
        aligned.resize(x.len() - axis, 1);
    }
    Ok([x.to_vec(), aligned])
}

/// Of each dimension, whether it is reduced and the size that is left of it.
pub(super) fn reduced(call: &Call<'_, '_>) -> Result<Vec<(bool, Option<usize>)>> {
    let Prim::Reduce { keep_dims, noop_if_empty, .. } = call.prim() else { return Ok(Vec::new()) };
    let shape = call.shape(0)?;
    let axes = call.maybe_ints(1)?.unwrap_or_default();
    let axes = match axes.is_empty() {
        true if *noop_if_empty => Vec::new(),
        true => (0..shape.len()).collect(),
        false => call.axes(&axes, shape.len())?,
    };
    let dims = shape.iter().enumerate().map(|(axis, &size)| match axes.contains(&axis) {
        true => (true, keep_dims.then_some(1)),
        false => (false, Some(size)),
    });
    Ok(dims.collect())
}
