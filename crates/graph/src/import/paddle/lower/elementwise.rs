//! Arithmetic: products, elementwise operations, activations, reductions.

use super::{Lowering, Result};
use crate::import::ir::{Binary, Prim, Reduce, TensorId, Unary};
use crate::import::paddle::program::Call;

/// Adds the operation if it is of this family.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    if let Some(op) = binary(&call.op) {
        let inputs = [to.input(call, "X")?, to.input(call, "Y")?];
        let axis = call.int("axis").filter(|&axis| axis != -1);
        to.simple(call, Prim::Binary(op, axis), &inputs, "Out")?;
        return Ok(true);
    }
    if let Some(op) = unary(&call.op) {
        let input = to.input(call, "X")?;
        to.simple(call, Prim::Unary(op), &[input], "Out")?;
        return Ok(true);
    }
    if let Some(op) = call.op.strip_prefix("reduce_").and_then(reduction) {
        reduce(to, call, op, "dim", call.flag("keep_dim"), call.flag("reduce_all"))?;
        return Ok(true);
    }
    match call.op.as_str() {
        "matmul_v2" | "matmul" | "bmm" => {
            let prim = Prim::MatMul {
                trans_a: call.flag("trans_x") || call.flag("transpose_X"),
                trans_b: call.flag("trans_y") || call.flag("transpose_Y"),
            };
            let inputs = [to.input(call, "X")?, to.input(call, "Y")?];
            to.simple(call, prim, &inputs, "Out")?;
        }
        "mul" => {
            if call.int("y_num_col_dims").unwrap_or(1) != 1 {
                return Err(call.fault("a weight of more than two dimensions is not supported"));
            }
            let prim = Prim::Mul2d { flatten_at: columns(call, "x_num_col_dims")? };
            let inputs = [to.input(call, "X")?, to.input(call, "Y")?];
            to.simple(call, prim, &inputs, "Out")?;
        }
        "fc" => {
            if let Some(word) = call.word("activation_type").filter(|word| !word.is_empty()) {
                return Err(call.fault(format!("the fused activation {word:?} is not supported")));
            }
            let prim = Prim::Mul2d { flatten_at: columns(call, "in_num_col_dims")? };
            let inputs = vec![Some(to.input(call, "Input")?), Some(to.input(call, "W")?), to.maybe(call, "Bias")?];
            let output = to.output(call, "Out")?;
            to.push(call, prim, inputs, vec![output]);
        }
        "einsum" => {
            let equation = call.word("equation").ok_or_else(|| call.fault("it has no equation"))?.to_owned();
            let inputs = to.inputs(call, "Operands")?;
            to.simple(call, Prim::Einsum(equation), &inputs, "Out")?;
        }
        "sum" => sum(to, call)?,
        "scale" => scale(to, call)?,
        "clip" => clip(to, call)?,
        "cast" => {
            let op = Unary::Cast(Lowering::dtype(call, "out_dtype"));
            let input = to.input(call, "X")?;
            to.simple(call, Prim::Unary(op), &[input], "Out")?;
        }
        // A program is for inference, where dropout does nothing.
        "dropout" => to.copy(call, "X", "Out")?,
        "softmax" | "log_softmax" => {
            let input = to.input(call, "X")?;
            let axis = call.int("axis").unwrap_or(-1);
            to.simple(call, Prim::Softmax { axis }, &[input], "Out")?;
        }
        "where" => {
            let inputs = [to.input(call, "Condition")?, to.input(call, "X")?, to.input(call, "Y")?];
            to.simple(call, Prim::Where, &inputs, "Out")?;
        }
        "arg_max" => reduce(to, call, Reduce::ArgMax, "axis", call.flag("keepdims"), call.flag("flatten"))?,
        "arg_min" => reduce(to, call, Reduce::ArgMin, "axis", call.flag("keepdims"), call.flag("flatten"))?,
        "cumsum" if !call.flag("flatten") => {
            let input = to.input(call, "X")?;
            to.simple(call, Prim::CumSum, &[input], "Out")?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn binary(op: &str) -> Option<Binary> {
    Some(match op {
        "elementwise_add" => Binary::Add,
        "elementwise_sub" => Binary::Sub,
        "elementwise_mul" => Binary::Mul,
        "elementwise_div" => Binary::Div,
        "elementwise_floordiv" => Binary::FloorDiv,
        "elementwise_mod" => Binary::Mod,
        "elementwise_pow" => Binary::Pow,
        "elementwise_max" => Binary::Max,
        "elementwise_min" => Binary::Min,
        "equal" => Binary::Equal,
        "not_equal" => Binary::NotEqual,
        "less_than" => Binary::Less,
        "less_equal" => Binary::LessEqual,
        "greater_than" => Binary::Greater,
        "greater_equal" => Binary::GreaterEqual,
        "logical_and" | "bitwise_and" => Binary::And,
        "logical_or" | "bitwise_or" => Binary::Or,
        "logical_xor" | "bitwise_xor" => Binary::Xor,
        _ => return None,
    })
}

fn unary(op: &str) -> Option<Unary> {
    Some(match op {
        "relu" => Unary::Relu,
        "sigmoid" => Unary::Sigmoid,
        "silu" | "swish" => Unary::Silu,
        "gelu" => Unary::Gelu,
        "erf" => Unary::Erf,
        "exp" => Unary::Exp,
        "log" => Unary::Log,
        "sqrt" => Unary::Sqrt,
        "rsqrt" => Unary::Rsqrt,
        "square" => Unary::Square,
        "reciprocal" => Unary::Reciprocal,
        "abs" => Unary::Abs,
        "sin" => Unary::Sin,
        "cos" => Unary::Cos,
        "floor" => Unary::Floor,
        "ceil" => Unary::Ceil,
        "round" => Unary::Round,
        "logical_not" | "bitwise_not" => Unary::Not,
        "relu6" => Unary::Other("relu6"),
        "tanh" => Unary::Other("tanh"),
        "hard_swish" => Unary::Other("hard_swish"),
        "hard_sigmoid" => Unary::Other("hard_sigmoid"),
        "leaky_relu" => Unary::Other("leaky_relu"),
        "elu" => Unary::Other("elu"),
        "mish" => Unary::Other("mish"),
        "softplus" => Unary::Other("softplus"),
        "pow" => Unary::Other("pow"),
        _ => return None,
    })
}

fn reduction(op: &str) -> Option<Reduce> {
    Some(match op {
        "sum" => Reduce::Sum,
        "mean" => Reduce::Mean,
        "max" | "amax" => Reduce::Max,
        "min" | "amin" => Reduce::Min,
        "prod" => Reduce::Prod,
        "any" => Reduce::Any,
        "all" => Reduce::All,
        _ => return None,
    })
}

/// Over the axes of a tensor or an attribute, or over all.
fn reduce(to: &mut Lowering, call: &Call, op: Reduce, attr: &str, keep_dims: bool, all: bool) -> Result<()> {
    let mut inputs = vec![Some(to.input(call, "X")?)];
    if !all {
        inputs.push(to.ints(call, attr, "AxisTensor", "AxisTensorList")?);
    }
    let output = to.output(call, "Out")?;
    to.push(call, Prim::Reduce { op, keep_dims, noop_if_empty: false }, inputs, vec![output]);
    Ok(())
}

fn columns(call: &Call, attr: &str) -> Result<usize> {
    let columns = call.int(attr).unwrap_or(1);
    usize::try_from(columns).map_err(|_| call.fault(format!("its attribute `{attr}` is {columns}")))
}

/// Of any number of tensors, one after the other; the last addition is the operation.
fn sum(to: &mut Lowering, call: &Call) -> Result<()> {
    let parts = to.inputs(call, "X")?;
    let [first, middle @ .., last] = parts.as_slice() else {
        return to.copy(call, "X", "Out");
    };
    let mut sum = *first;
    for part in middle {
        let next = to.graph.temporary(&call.name, "sum");
        to.helper(Prim::Binary(Binary::Add, None), vec![Some(sum), Some(*part)], next);
        sum = next;
    }
    to.simple(call, Prim::Binary(Binary::Add, None), &[sum, *last], "Out")
}

/// `scale × x + bias` or `scale × (x + bias)`; the scale may be a tensor.
fn scale(to: &mut Lowering, call: &Call) -> Result<()> {
    let input = to.input(call, "X")?;
    let mut bias = call.float("bias").unwrap_or(0.0);
    let factor: Option<TensorId> = to.maybe(call, "ScaleTensor")?;
    let scale = match factor {
        // A factor that is computed decides no shape.
        Some(id) => to.constant(call, id).ok().and_then(|values| values.first().copied()).unwrap_or(f64::NAN),
        None => call.float("scale").unwrap_or(1.0),
    };
    if call.attrs.contains_key("bias_after_scale") && !call.flag("bias_after_scale") {
        bias *= scale;
    }
    to.simple(call, Prim::Unary(Unary::Affine { scale, bias }), &[input], "Out")
}

/// Bounds are tensors or attributes.
fn clip(to: &mut Lowering, call: &Call) -> Result<()> {
    let input = to.input(call, "X")?;
    let mut inputs = vec![Some(input)];
    for (slot, attr) in [("Min", "min"), ("Max", "max")] {
        let bound = match to.maybe(call, slot)? {
            Some(id) => Some(id),
            None => call.float(attr).map(|value| to.graph.floats(&call.name, attr, &[value])),
        };
        inputs.push(bound);
    }
    let output = to.output(call, "Out")?;
    to.push(call, Prim::Clip, inputs, vec![output]);
    Ok(())
}
