//! Products of matrices, and attention.

use super::{Lowering, Result};
use crate::import::ir::Prim;
use crate::import::onnx::call::Call;

/// Adds the operation if it is of this family.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    match call.op() {
        "MatMul" => to.simple(call, Prim::MatMul { trans_a: false, trans_b: false }, 2)?,
        "Gemm" => {
            let prim = Prim::Gemm { trans_a: call.flag("transA", false)?, trans_b: call.flag("transB", false)? };
            let inputs = vec![Some(to.input(call, 0)?), Some(to.input(call, 1)?), to.maybe(call, 2)];
            to.single(call, prim, inputs)?;
        }
        "Einsum" => {
            let equation = call.word("equation")?.ok_or_else(|| call.fault("it has no equation"))?;
            let equation: String = equation.split_whitespace().collect();
            if equation.contains('.') {
                return Err(call.fault(format!("the equation {equation:?} has an ellipsis, which is not supported")));
            }
            let operands = to.inputs(call)?.into_iter().map(Some).collect();
            to.single(call, Prim::Einsum(equation), operands)?;
        }
        "Attention" => attention(to, call)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// `Attention` of opset 23: heads are a dimension of their own, or packed and their number is given.
fn attention(to: &mut Lowering, call: &Call) -> Result<()> {
    if (4..=5).any(|index| to.maybe(call, index).is_some()) {
        return Err(call.fault("keys and values of earlier calls are not supported"));
    }
    let prim = Prim::Attention {
        q_heads: heads(call, "q_num_heads")?,
        kv_heads: heads(call, "kv_num_heads")?,
        heads_third: false,
    };
    let [query, key, value] = [to.input(call, 0)?, to.input(call, 1)?, to.input(call, 2)?];
    let mask = to.maybe(call, 3);
    to.single(call, prim, vec![Some(query), Some(key), Some(value), mask])
}

/// A number of heads.
pub(super) fn heads(call: &Call, attr: &str) -> Result<Option<usize>> {
    let Some(heads) = call.int(attr)? else { return Ok(None) };
    match usize::try_from(heads) {
        Ok(heads) if heads > 0 => Ok(Some(heads)),
        _ => Err(call.fault(format!("its attribute `{attr}` is {heads}"))),
    }
}
