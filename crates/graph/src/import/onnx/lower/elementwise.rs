//! Arithmetic on elements: of two operands, of one, activations, reductions.

use super::{Lowering, Result};
use crate::import::ir::{Binary, Origin, Prim, Reduce, Unary};
use crate::import::onnx::call::Call;
use crate::import::onnx::tensor;

/// Adds the operation if it is of this family.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    if let Some(op) = binary(call.op()) {
        to.simple(call, Prim::Binary(op, None), 2)?;
        return Ok(true);
    }
    if let Some(op) = unary(call.op()) {
        to.simple(call, Prim::Unary(op), 1)?;
        return Ok(true);
    }
    if let Some(op) = call.op().strip_prefix("Reduce").and_then(reduction) {
        let inputs = vec![Some(to.input(call, 0)?), to.ints(call, "axes", 1)?];
        let keep_dims = call.flag("keepdims", true)?;
        let noop_if_empty = call.flag("noop_with_empty_axes", false)?;
        to.single(call, Prim::Reduce { op, keep_dims, noop_if_empty }, inputs)?;
        return Ok(true);
    }
    match call.op() {
        "Sum" => all(to, call, Binary::Add)?,
        "Max" => all(to, call, Binary::Max)?,
        "Min" => all(to, call, Binary::Min)?,
        "Clip" => {
            let input = to.input(call, 0)?;
            let mut inputs = vec![Some(input)];
            for (index, attr) in [(1, "min"), (2, "max")] {
                inputs.push(match call.float(attr)? {
                    Some(bound) => Some(to.graph.floats(call.name(), attr, &[bound])),
                    None => to.maybe(call, index),
                });
            }
            to.single(call, Prim::Clip, inputs)?;
        }
        "Cast" => {
            let number = call.int("to")?.ok_or_else(|| call.fault("its attribute `to` is missing"))?;
            let dtype = i32::try_from(number).ok().and_then(tensor::dtype);
            let dtype =
                dtype.ok_or_else(|| call.fault(format!("its attribute `to` is {number}, no type of numbers")))?;
            to.simple(call, Prim::Unary(Unary::Cast(dtype)), 1)?;
        }
        "CastLike" => {
            let like = to.input(call, 1)?;
            let like = to.graph.tensor(like);
            if like.origin == Origin::Node {
                return Err(call.fault("a cast to the type of a computed tensor is not supported"));
            }
            let dtype = like.dtype;
            to.simple(call, Prim::Unary(Unary::Cast(dtype)), 1)?;
        }
        // Before opset 13 a softmax was over its axis and all after it; exporters have always put the last one there.
        "Softmax" | "LogSoftmax" => {
            let axis = call.int_or("axis", if call.opset < 13 { 1 } else { -1 })?;
            to.simple(call, Prim::Softmax { axis }, 1)?;
        }
        "Where" => to.simple(call, Prim::Where, 3)?,
        "ArgMax" => arg(to, call, Reduce::ArgMax)?,
        "ArgMin" => arg(to, call, Reduce::ArgMin)?,
        "CumSum" => to.simple(call, Prim::CumSum, 1)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn binary(op: &str) -> Option<Binary> {
    Some(match op {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Mod" => Binary::Mod,
        "Pow" => Binary::Pow,
        "Equal" => Binary::Equal,
        "Less" => Binary::Less,
        "LessOrEqual" => Binary::LessEqual,
        "Greater" => Binary::Greater,
        "GreaterOrEqual" => Binary::GreaterEqual,
        "And" => Binary::And,
        "Or" => Binary::Or,
        "Xor" => Binary::Xor,
        _ => return None,
    })
}

pub(super) fn unary(op: &str) -> Option<Unary> {
    Some(match op {
        "Relu" => Unary::Relu,
        "Sigmoid" => Unary::Sigmoid,
        "Swish" => Unary::Silu,
        "Gelu" => Unary::Gelu,
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Log" => Unary::Log,
        "Sqrt" => Unary::Sqrt,
        "Reciprocal" => Unary::Reciprocal,
        "Neg" => Unary::Neg,
        "Abs" => Unary::Abs,
        "Sin" => Unary::Sin,
        "Cos" => Unary::Cos,
        "Floor" => Unary::Floor,
        "Ceil" => Unary::Ceil,
        "Round" => Unary::Round,
        "Not" => Unary::Not,
        "Tanh" => Unary::Other("tanh"),
        "HardSwish" => Unary::Other("hard_swish"),
        "HardSigmoid" => Unary::Other("hard_sigmoid"),
        "LeakyRelu" => Unary::Other("leaky_relu"),
        "Elu" => Unary::Other("elu"),
        "Selu" => Unary::Other("selu"),
        "Celu" => Unary::Other("celu"),
        "Mish" => Unary::Other("mish"),
        "Softplus" => Unary::Other("softplus"),
        "Softsign" => Unary::Other("softsign"),
        "Sign" => Unary::Other("sign"),
        "Tan" => Unary::Other("tan"),
        "Atan" => Unary::Other("atan"),
        _ => return None,
    })
}

fn reduction(op: &str) -> Option<Reduce> {
    Some(match op {
        "Sum" => Reduce::Sum,
        "Mean" => Reduce::Mean,
        "Max" => Reduce::Max,
        "Min" => Reduce::Min,
        "Prod" => Reduce::Prod,
        "L2" => Reduce::L2,
        _ => return None,
    })
}

/// Of any number of tensors, one after the other; the last step is the operation.
fn all(to: &mut Lowering, call: &Call, op: Binary) -> Result<()> {
    let parts = to.inputs(call)?;
    let [first, middle @ .., last] = parts.as_slice() else {
        return to.copy(call);
    };
    let prim = Prim::Binary(op, None);
    let mut sum = *first;
    for part in middle {
        sum = to.step(call, "part", prim.clone(), &[sum, *part]);
    }
    to.single(call, prim, vec![Some(sum), Some(*last)])
}

fn arg(to: &mut Lowering, call: &Call, op: Reduce) -> Result<()> {
    let axis = call.int_or("axis", 0)?;
    let axes = to.graph.ints(call.name(), "axis", &[axis]);
    let keep_dims = call.flag("keepdims", true)?;
    let input = to.input(call, 0)?;
    to.single(call, Prim::Reduce { op, keep_dims, noop_if_empty: false }, vec![Some(input), Some(axes)])
}
