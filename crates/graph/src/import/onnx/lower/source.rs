//! Where tensors come from and go to: inputs, initializers, constants, shapes.

use std::collections::HashSet;

use super::{Lowering, Result, tensor};
use crate::import::ImportError;
use crate::import::ir::{DType, Dim, Origin, Prim, Tensor, TensorId, Value};
use crate::import::onnx::call::Call;
use crate::import::onnx::proto::{Dimension, GraphProto, ValueInfoProto};

/// Adds the initializers.
pub(super) fn stored(to: &mut Lowering, proto: &GraphProto) -> Result<()> {
    for initializer in &proto.initializer {
        let tensor = tensor::stored(initializer.name.as_deref().unwrap_or_default(), initializer)?;
        to.declare(tensor)?;
    }
    Ok(())
}

/// Adds the inputs. Old files list the initializers among them, as defaults.
pub(super) fn inputs(to: &mut Lowering, proto: &GraphProto) -> Result<()> {
    for input in &proto.input {
        let name = input.name.clone().unwrap_or_default();
        if to.graph.find(&name).is_some_and(|id| to.graph.tensor(id).origin == Origin::Stored) {
            continue;
        }
        let id = to.declare(declared(name, input)?)?;
        to.graph.inputs.push(id);
    }
    Ok(())
}

fn declared(name: String, input: &ValueInfoProto) -> Result<Tensor> {
    let fault = |what: &str| ImportError::Tensor { name: name.clone(), what: what.to_owned() };
    let kind = input.kind.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let kind = kind.ok_or_else(|| fault("an input of the graph is not a dense tensor"))?;
    let dtype = tensor::dtype(kind.elem_type.unwrap_or_default());
    let dtype = dtype.ok_or_else(|| fault("an input of the graph does not consist of numbers"))?;
    let shape = kind.shape.as_ref().ok_or_else(|| fault("an input of the graph has no number of dimensions"))?;
    let declared = Some(shape.dim.iter().map(dim).collect());
    Ok(Tensor { name, dtype, origin: Origin::Input, declared, value: None })
}

fn dim(dim: &Dimension) -> Dim {
    match (dim.dim_value, &dim.dim_param) {
        (_, Some(name)) if !name.is_empty() => Dim::Named(name.clone()),
        (Some(size), _) => usize::try_from(size).map_or(Dim::Unknown, Dim::Known),
        _ => Dim::Unknown,
    }
}

/// Notes the outputs.
pub(super) fn outputs(to: &mut Lowering, proto: &GraphProto) -> Result<()> {
    let made: HashSet<TensorId> = to.graph.nodes.iter().flat_map(|node| node.outputs.iter().copied()).collect();
    for output in &proto.output {
        let name = output.name.clone().unwrap_or_default();
        let found = to.graph.find(&name);
        let Some(id) = found.filter(|id| to.graph.tensor(*id).origin != Origin::Node || made.contains(id)) else {
            return Err(ImportError::Tensor {
                name,
                what: "it is an output of the graph, and nothing makes it".into(),
            });
        };
        to.graph.outputs.push(id);
    }
    Ok(())
}

/// Adds a `Constant`: a stored tensor instead of an operation.
pub(super) fn constant(to: &mut Lowering, call: &Call) -> Result<()> {
    let name = call.outputs().first().filter(|name| !name.is_empty()).ok_or_else(|| call.fault("it has no output"))?;
    let of = |dtype: DType, dims: Vec<Dim>, value: Value| Tensor {
        name: name.clone(),
        dtype,
        origin: Origin::Stored,
        declared: Some(dims),
        value: Some(value),
    };
    let tensor = if let Some(proto) = call.tensor("value")? {
        tensor::stored(name, proto)?
    } else if let Some(value) = call.int("value_int")? {
        of(DType::Int, vec![], Value::Ints(vec![value]))
    } else if let Some(values) = call.ints("value_ints")? {
        of(DType::Int, vec![Dim::Known(values.len())], Value::Ints(values.to_vec()))
    } else if let Some(value) = call.float("value_float")? {
        of(DType::Float, vec![], Value::Floats(vec![value]))
    } else if let Some(values) = call.floats("value_floats")? {
        of(DType::Float, vec![Dim::Known(values.len())], Value::Floats(values))
    } else {
        return Err(call.fault("it has no value that is a dense tensor of numbers"));
    };
    to.declare(tensor)?;
    Ok(())
}

/// Adds the operation if it is of this family.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    match call.op() {
        "ConstantOfShape" => {
            let (dtype, value) = match call.tensor("value")? {
                None => (DType::Float, 0.0),
                Some(proto) => filling(call, proto)?,
            };
            to.simple(call, Prim::Fill { dtype, value }, 1)?;
        }
        "Range" => to.simple(call, Prim::Range, 3)?,
        "Shape" => to.simple(call, Prim::Shape { start: call.int_or("start", 0)?, end: call.int("end")? }, 1)?,
        "Size" => to.simple(call, Prim::Size, 1)?,
        "Identity" => to.copy(call)?,
        // A graph is for inference, where dropout does nothing.
        "Dropout" => to.copy(call)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// The one element of a tensor.
fn filling(call: &Call, proto: &crate::import::onnx::proto::TensorProto) -> Result<(DType, f64)> {
    let tensor = tensor::stored(call.name(), proto)?;
    let value = match tensor.value {
        Some(Value::Floats(values)) if values.len() == 1 => values[0],
        Some(Value::Ints(values)) if values.len() == 1 => values[0] as f64,
        _ => return Err(call.fault("its attribute `value` is not one number")),
    };
    Ok((tensor.dtype, value))
}
