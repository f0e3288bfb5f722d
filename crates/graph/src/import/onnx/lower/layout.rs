//! What moves elements and computes nothing: reshaping, slicing, joining, gathering; and what picks the largest.

use super::{Lowering, Result};
use crate::import::ir::Prim;
use crate::import::onnx::call::Call;

/// Adds the operation if it is of this family.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    match call.op() {
        "Reshape" => to.simple(call, Prim::Reshape { zero: call.flag("allowzero", false)? }, 2)?,
        "Flatten" => to.simple(call, Prim::FlattenTo2d { axis: call.int_or("axis", 1)? }, 1)?,
        "Squeeze" => {
            let inputs = vec![Some(to.input(call, 0)?), to.ints(call, "axes", 1)?];
            to.single(call, Prim::Squeeze { lenient: false }, inputs)?;
        }
        "Unsqueeze" => {
            let inputs = vec![Some(to.input(call, 0)?), Some(to.needed_ints(call, "axes", 1)?)];
            to.single(call, Prim::Unsqueeze { one_by_one: false }, inputs)?;
        }
        "Transpose" => {
            let order = call.ints("perm")?.map(|order| order.iter().map(|&dim| usize::try_from(dim)).collect());
            let order: Option<std::result::Result<Vec<usize>, _>> = order;
            let order = order.transpose().map_err(|_| call.fault("its attribute `perm` is no order of dimensions"))?;
            to.simple(call, Prim::Transpose(order), 1)?;
        }
        "Expand" => to.simple(call, Prim::Expand, 2)?,
        "Tile" => to.simple(call, Prim::Tile, 2)?,
        "Slice" => slice(to, call)?,
        "Concat" => {
            let axis = call.int("axis")?.ok_or_else(|| call.fault("its attribute `axis` is missing"))?;
            let parts = to.inputs(call)?.into_iter().map(Some).collect();
            to.single(call, Prim::Concat { axis }, parts)?;
        }
        "Split" => split(to, call)?,
        "Gather" => to.simple(call, Prim::Gather { axis: call.int_or("axis", 0)? }, 2)?,
        "GatherElements" => to.simple(call, Prim::GatherElements { axis: call.int_or("axis", 0)? }, 2)?,
        "GatherND" => {
            let batch_dims = usize::try_from(call.int_or("batch_dims", 0)?);
            let batch_dims = batch_dims.map_err(|_| call.fault("its attribute `batch_dims` is negative"))?;
            to.simple(call, Prim::GatherNd { batch_dims }, 2)?;
        }
        "Scatter" | "ScatterElements" | "ScatterND" => to.simple(call, Prim::Scatter, 3)?,
        "TopK" => {
            let k = match call.int("k")? {
                Some(k) => to.graph.ints(call.name(), "k", &[k]),
                None => to.input(call, 1)?,
            };
            let inputs = vec![Some(to.input(call, 0)?), Some(k)];
            let outputs = to.outputs(call, 2)?;
            to.push(call, Prim::TopK { axis: call.int_or("axis", -1)? }, inputs, outputs);
        }
        "OneHot" => {
            let values = to.input(call, 2)?;
            let dtype = to.graph.tensor(values).dtype;
            to.simple(call, Prim::OneHot { axis: call.int_or("axis", -1)?, dtype }, 3)?;
        }
        "Trilu" => {
            let inputs = vec![Some(to.input(call, 0)?), to.maybe(call, 1)];
            to.single(call, Prim::Triangle, inputs)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Bounds are attributes before version 10.
fn slice(to: &mut Lowering, call: &Call) -> Result<()> {
    let inputs = vec![
        Some(to.input(call, 0)?),
        Some(to.needed_ints(call, "starts", 1)?),
        Some(to.needed_ints(call, "ends", 2)?),
        to.ints(call, "axes", 3)?,
        to.maybe(call, 4),
    ];
    to.single(call, Prim::Slice, inputs)
}

/// Sizes are an attribute before version 13; since 18 the number of equal parts may be one.
fn split(to: &mut Lowering, call: &Call) -> Result<()> {
    let inputs = vec![Some(to.input(call, 0)?), to.ints(call, "split", 1)?];
    let parts = call.outputs().len();
    if let Some(wanted) = call.int("num_outputs")?
        && usize::try_from(wanted) != Ok(parts)
    {
        return Err(call.fault(format!("its `num_outputs` is {wanted}, and it has {parts} outputs")));
    }
    let outputs = call.outputs().iter().map(|name| to.makes(call, name)).collect::<Vec<_>>();
    if outputs.is_empty() {
        return Err(call.fault("it has no output"));
    }
    to.push(call, Prim::Split { axis: call.int_or("axis", 0)? }, inputs, outputs);
    Ok(())
}
