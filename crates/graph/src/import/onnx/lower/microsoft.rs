//! `com.microsoft`: what ONNX Runtime's optimisers make of several standard operations. Each becomes those again; the one that
//! stands for the operation keeps its name and type.

use super::product::heads;
use super::{Lowering, Result, elementwise, layout, product, window};
use crate::import::ir::{Binary, Prim, TensorId, Unary};
use crate::import::onnx::call::Call;

const ADD: Prim = Prim::Binary(Binary::Add, None);
const MATMUL: Prim = Prim::MatMul { trans_a: false, trans_b: false };

/// Adds the operation if it is known.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    match call.op() {
        "FusedConv" => {
            let (prim, inputs) = window::conv(to, call)?;
            let added = to.maybe(call, 3);
            activated(to, call, prim, inputs, added)?;
        }
        "FusedGemm" => {
            let prim = Prim::Gemm { trans_a: call.flag("transA", false)?, trans_b: call.flag("transB", false)? };
            let inputs = vec![Some(to.input(call, 0)?), Some(to.input(call, 1)?), to.maybe(call, 2)];
            activated(to, call, prim, inputs, None)?;
        }
        "FusedMatMul" | "TransposeMatMul" => matmul(to, call)?,
        "BiasGelu" => biased(to, call, Prim::Unary(Unary::Gelu))?,
        "FastGelu" => biased(to, call, Prim::Unary(Unary::Gelu))?,
        "QuickGelu" => {
            // `x × sigmoid(alpha × x)`.
            let silu = call.float("alpha")? == Some(1.0);
            let op = if silu { Unary::Silu } else { Unary::Other("quick_gelu") };
            to.simple(call, Prim::Unary(op), 1)?;
        }
        "BiasSoftmax" => biased(to, call, Prim::Softmax { axis: call.int_or("axis", 1)? })?,
        "SkipLayerNormalization" => skip_norm(to, call, Prim::LayerNorm { axis: -1 }, 4)?,
        "SkipSimplifiedLayerNormalization" => skip_norm(to, call, Prim::OtherNorm("rms_norm"), 3)?,
        "Attention" => attention(to, call)?,
        "MultiHeadAttention" => multi_head(to, call)?,
        // The same as in the standard domain, which got them later.
        "GridSample" | "LayerNormalization" => return window::lower(to, call),
        "Gelu" | "CumSum" => return elementwise::lower(to, call),
        "MatMul" | "Gemm" => return product::lower(to, call),
        "Trilu" => return layout::lower(to, call),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The operation, an addition if there is something to add, and the activation.
fn activated(
    to: &mut Lowering,
    call: &Call,
    prim: Prim,
    inputs: Vec<Option<TensorId>>,
    added: Option<TensorId>,
) -> Result<()> {
    let activation = match call.word("activation")? {
        None | Some("") => None,
        Some("Clip") => {
            let bounds = call.floats("activation_params")?.unwrap_or_default();
            let bounds = bounds.iter().map(|&bound| to.graph.floats(call.name(), "bound", &[bound])).collect();
            Some((Prim::Clip, bounds))
        }
        Some(word) => match elementwise::unary(word) {
            Some(op) => Some((Prim::Unary(op), vec![])),
            None => return Err(call.fault(format!("the fused activation {word:?} is not supported"))),
        },
    };
    let steps = added.map(|id| (ADD, vec![id])).into_iter().chain(activation);
    followed(to, call, prim, inputs, steps.collect())
}

/// The operation, and steps from its result and other operands to the next, the last of which makes the output.
fn followed(
    to: &mut Lowering,
    call: &Call,
    prim: Prim,
    inputs: Vec<Option<TensorId>>,
    mut steps: Vec<(Prim, Vec<TensorId>)>,
) -> Result<()> {
    let output = to.output(call)?;
    let Some((last, operands)) = steps.pop() else {
        to.push(call, prim, inputs, vec![output]);
        return Ok(());
    };
    let mut current = to.graph.temporary(call.name(), "product");
    to.push(call, prim, inputs, vec![current]);
    for (prim, operands) in steps {
        current = to.step(call, "step", prim, &[&[current], operands.as_slice()].concat());
    }
    to.step_to(last, &[&[current], operands.as_slice()].concat(), output);
    Ok(())
}

fn matmul(to: &mut Lowering, call: &Call) -> Result<()> {
    let mut inputs = Vec::new();
    for (index, attr) in ["transBatchA", "transBatchB"].into_iter().enumerate() {
        let mut input = to.input(call, index)?;
        // The first dimension is the matrix's, the others between it and the last are the batch's.
        if call.flag(attr, false)? {
            input = to.step(call, "moved", Prim::MoveAxis { from: 0, to: -2 }, &[input]);
        }
        inputs.push(Some(input));
    }
    let prim = Prim::MatMul { trans_a: call.flag("transA", false)?, trans_b: call.flag("transB", false)? };
    let scale = call.float("alpha")?.filter(|&alpha| alpha != 1.0);
    let steps = scale.map(|scale| (Prim::Unary(Unary::Affine { scale, bias: 0.0 }), vec![]));
    followed(to, call, prim, inputs, steps.into_iter().collect())
}

/// The operation on the sum of the first input and the second, if there is one.
fn biased(to: &mut Lowering, call: &Call, prim: Prim) -> Result<()> {
    let mut input = to.input(call, 0)?;
    if let Some(bias) = to.maybe(call, 1) {
        input = to.step(call, "biased", ADD, &[input, bias]);
    }
    to.single(call, prim, vec![Some(input)])
}

/// The norm of the sum of input, skip and bias; the sum itself may be wanted, as the fourth output.
fn skip_norm(to: &mut Lowering, call: &Call, norm: Prim, bias: usize) -> Result<()> {
    let [input, skip] = [to.input(call, 0)?, to.input(call, 1)?];
    let names = call.outputs();
    if let Some(name) = names.iter().skip(1).take(2).find(|name| to.read.contains(name.as_str())) {
        return Err(call.fault(format!("its output {name:?} is not supported")));
    }
    let sum = match names.get(3).filter(|name| !name.is_empty()) {
        Some(name) => to.makes(call, name),
        None => to.graph.temporary(call.name(), "sum"),
    };
    match to.maybe(call, bias) {
        None => to.step_to(ADD, &[input, skip], sum),
        Some(bias) => {
            let biased = to.step(call, "biased", ADD, &[input, bias]);
            to.step_to(ADD, &[biased, skip], sum);
        }
    }
    let output = match names.first() {
        Some(name) => to.makes(call, name),
        None => return Err(call.fault("it has no output")),
    };
    let parameters: &[usize] = if bias == 4 { &[2, 3] } else { &[2] };
    let mut inputs = vec![Some(sum)];
    inputs.extend(parameters.iter().map(|&index| to.maybe(call, index)));
    to.push(call, norm, inputs, vec![output]);
    Ok(())
}

/// With the product that makes query, key and value of one input.
fn attention(to: &mut Lowering, call: &Call) -> Result<()> {
    if to.maybe(call, 4).is_some() {
        return Err(call.fault("keys and values of earlier calls are not supported"));
    }
    let [input, weight] = [to.input(call, 0)?, to.input(call, 1)?];
    let mut packed = to.step(call, "packed", MATMUL, &[input, weight]);
    if let Some(bias) = to.maybe(call, 2) {
        packed = to.step(call, "packed", ADD, &[packed, bias]);
    }
    let sizes = call.ints("qkv_hidden_sizes")?.filter(|sizes| !sizes.is_empty());
    let parts = thirds(to, call, packed, sizes);
    let mask = to.maybe(call, 5);
    attend(to, call, parts, mask)
}

/// On queries, keys and values that may still lack their biases.
fn multi_head(to: &mut Lowering, call: &Call) -> Result<()> {
    if (6..=7).any(|index| to.maybe(call, index).is_some()) {
        return Err(call.fault("keys and values of earlier calls are not supported"));
    }
    let (Some(key), Some(value)) = (to.maybe(call, 1), to.maybe(call, 2)) else {
        return Err(call.fault("packed queries, keys and values are not supported"));
    };
    let mut parts = [to.input(call, 0)?, key, value];
    if let Some(bias) = to.maybe(call, 3) {
        let biases = thirds(to, call, bias, None);
        parts = [0, 1, 2].map(|index| to.step(call, "biased", ADD, &[parts[index], biases[index]]));
    }
    let mask = to.maybe(call, 5);
    attend(to, call, parts, mask)
}

/// A tensor in three along its last dimension.
fn thirds(to: &mut Lowering, call: &Call, input: TensorId, sizes: Option<&[i64]>) -> [TensorId; 3] {
    let sizes = sizes.map(|sizes| to.graph.ints(call.name(), "qkv_hidden_sizes", sizes));
    let parts = ["query", "key", "value"].map(|part| to.graph.temporary(call.name(), part));
    to.graph.nodes.push(crate::import::ir::Node {
        name: call.name().to_owned(),
        op_type: String::new(),
        prim: Prim::Split { axis: -1 },
        inputs: vec![Some(input), sizes],
        outputs: parts.to_vec(),
    });
    parts
}

fn attend(to: &mut Lowering, call: &Call, parts: [TensorId; 3], mask: Option<TensorId>) -> Result<()> {
    let heads = heads(call, "num_heads")?.ok_or_else(|| call.fault("its attribute `num_heads` is missing"))?;
    let prim = Prim::Attention { q_heads: Some(heads), kv_heads: Some(heads), heads_third: false };
    let [query, key, value] = parts.map(Some);
    to.single(call, prim, vec![query, key, value, mask])
}
