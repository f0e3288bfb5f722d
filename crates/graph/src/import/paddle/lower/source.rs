//! Where tensors come from and go to: inputs, constants, shapes.

use super::{Lowering, Result};
use crate::import::ImportError;
use crate::import::ir::{DType, Dim, MAX_FOLDED, Origin, Prim, Tensor, Value};
use crate::import::paddle::program::{Attr, Call};

/// Adds the operation if it is of this family.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    match call.op.as_str() {
        "feed" => feed(to, call)?,
        "fetch" => {
            let output = to.input(call, "X")?;
            to.graph.outputs.push(output);
        }
        "fill_constant" => fill(to, call)?,
        "assign_value" => assign_value(to, call)?,
        "fill_any_like" | "fill_zeros_like" => {
            let (dtype, value) = (Lowering::dtype(call, "dtype"), number(to, call)?);
            let like = to.input(call, "X")?;
            to.simple(call, Prim::FillLike { dtype, value }, &[like], "Out")?;
        }
        "range" => {
            let inputs = [to.input(call, "Start")?, to.input(call, "End")?, to.input(call, "Step")?];
            to.simple(call, Prim::Range, &inputs, "Out")?;
        }
        "shape" => {
            let input = to.input(call, "Input")?;
            to.simple(call, Prim::Shape { start: 0, end: None }, &[input], "Out")?;
        }
        "size" => {
            let input = to.input(call, "Input")?;
            to.simple(call, Prim::Size, &[input], "Out")?;
        }
        "assign" | "share_data" | "memcpy" => to.copy(call, "X", "Out")?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// An input of the program. Of several inputs, all have the same batch.
fn feed(to: &mut Lowering, call: &Call) -> Result<()> {
    let [name] = call.outputs("Out") else {
        return Err(call.fault("an input of the program is not one tensor"));
    };
    let Some(var) = to.declared.get(name) else {
        return Err(call.fault(format!("the input {name:?} is not declared as a tensor")));
    };
    let dim = |(index, &dim): (usize, &i64)| match (usize::try_from(dim), index) {
        (Ok(size), _) => Dim::Known(size),
        (Err(_), 0) => Dim::Named("batch".to_owned()),
        (Err(_), _) => Dim::Unknown,
    };
    let declared = var.shape.iter().enumerate().map(dim).collect();
    let (name, dtype) = (name.clone(), var.dtype);
    if to.current.contains_key(&name) {
        return Err(ImportError::Tensor { name, what: "it is an input and something else".into() });
    }
    let tensor = Tensor { name: name.clone(), dtype, origin: Origin::Input, declared: Some(declared), value: None };
    let id = to.graph.add(tensor);
    to.graph.inputs.push(id);
    to.current.insert(name, id);
    Ok(())
}

/// The value that fills a tensor.
fn number(to: &Lowering, call: &Call) -> Result<f64> {
    if let Some(id) = to.maybe(call, "ValueTensor")? {
        // A value that is computed decides no shape; a wrong one must not either.
        return Ok(to.constant(call, id).ok().and_then(|values| values.first().copied()).unwrap_or(f64::NAN));
    }
    // `str_value` holds what a 32-bit float cannot.
    let text = call.word("str_value").filter(|text| !text.is_empty()).and_then(|text| text.parse().ok());
    Ok(text.or_else(|| call.float("value")).unwrap_or(0.0))
}

/// `fill_constant`: a constant if it is small and its shape is known, else a tensor to be filled.
fn fill(to: &mut Lowering, call: &Call) -> Result<()> {
    let dtype = Lowering::dtype(call, "dtype");
    let value = number(to, call)?;
    let computed = call.inputs.values().any(|names| !names.is_empty());
    if let (false, Some(shape)) = (computed, call.ints("shape")) {
        let shape = sizes(call, shape)?;
        let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
        if let Some(count) = count.filter(|&count| count <= MAX_FOLDED) {
            return constant(to, call, &shape, dtype, vec![value; count]);
        }
    }
    let shape = to.needed_ints(call, "shape", "ShapeTensor", "ShapeTensorList")?;
    to.simple(call, Prim::Fill { dtype, value }, &[shape], "Out")
}

/// `assign_value`: a constant that lies in the program itself.
fn assign_value(to: &mut Lowering, call: &Call) -> Result<()> {
    let dtype = Lowering::dtype(call, "dtype");
    let names = ["values", "int64_values", "int32_values", "fp32_values", "fp64_values", "bool_values"];
    let values =
        names.iter().filter_map(|name| call.floats(name)).find(|values| !values.is_empty()).unwrap_or_default();
    let shape = match call.attrs.get("shape") {
        Some(Attr::Ints(shape)) => sizes(call, shape)?,
        Some(Attr::Int(size)) => sizes(call, &[*size])?,
        _ => vec![values.len()],
    };
    if shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size)) != Some(values.len()) {
        return Err(call.fault(format!("it has {} values for the shape {shape:?}", values.len())));
    }
    constant(to, call, &shape, dtype, values)
}

fn sizes(call: &Call, shape: &[i64]) -> Result<Vec<usize>> {
    let sizes: std::result::Result<Vec<usize>, _> = shape.iter().map(|&size| usize::try_from(size)).collect();
    sizes.map_err(|_| call.fault(format!("its shape {shape:?} is not one")))
}

/// A stored tensor instead of an operation.
fn constant(to: &mut Lowering, call: &Call, shape: &[usize], dtype: DType, values: Vec<f64>) -> Result<()> {
    let [name] = call.outputs("Out") else {
        return Err(call.fault("it does not make one tensor"));
    };
    let value = (values.len() <= MAX_FOLDED).then(|| match dtype {
        DType::Float => Value::Floats(values),
        DType::Int | DType::Bool => Value::Ints(values.into_iter().map(|value| value as i64).collect()),
    });
    let unique = match to.graph.find(name) {
        Some(_) => {
            let id = to.graph.temporary(name, "constant");
            to.graph.tensor(id).name.clone()
        }
        None => name.clone(),
    };
    let declared = Some(shape.iter().map(|&size| Dim::Known(size)).collect());
    let id = to.graph.add(Tensor { name: unique, dtype, origin: Origin::Stored, declared, value });
    to.current.insert(name.clone(), id);
    Ok(())
}
