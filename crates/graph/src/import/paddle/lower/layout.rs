//! What moves elements and computes nothing: reshaping, slicing, joining, gathering; and what picks the largest.

use super::{Lowering, Result};
use crate::import::ir::{DType, Prim, TensorId};
use crate::import::paddle::program::Call;

/// Adds the operation if it is of this family.
pub(super) fn lower(to: &mut Lowering, call: &Call) -> Result<bool> {
    match call.op.as_str() {
        "reshape2" | "reshape" => {
            let shape = to.needed_ints(call, "shape", "Shape", "ShapeTensor")?;
            of_x(to, call, Prim::Reshape { zero: false }, &[shape])?;
        }
        "flatten_contiguous_range" => {
            let [start, stop] = [call.int("start_axis").unwrap_or(1), call.int("stop_axis").unwrap_or(1)];
            of_x(to, call, Prim::Flatten { start, stop }, &[])?;
        }
        "flatten2" | "flatten" => {
            let axis = call.int("axis").unwrap_or(1);
            of_x(to, call, Prim::FlattenTo2d { axis }, &[])?;
        }
        "transpose2" | "transpose" => {
            let order = call.ints("axis").ok_or_else(|| call.fault("it has no order of axes"))?;
            let order: std::result::Result<Vec<usize>, _> = order.iter().map(|&axis| usize::try_from(axis)).collect();
            let order = order.map_err(|_| call.fault("its order of axes has a negative one"))?;
            of_x(to, call, Prim::Transpose(Some(order)), &[])?;
        }
        "squeeze2" | "squeeze" => squeeze(to, call)?,
        "unsqueeze2" | "unsqueeze" => {
            let axes = to.needed_ints(call, "axes", "AxesTensor", "AxesTensorList")?;
            of_x(to, call, Prim::Unsqueeze { one_by_one: true }, &[axes])?;
        }
        "expand_v2" => {
            let shape = to.needed_ints(call, "shape", "Shape", "expand_shapes_tensor")?;
            of_x(to, call, Prim::Expand, &[shape])?;
        }
        "expand_as_v2" => match to.maybe(call, "Y")? {
            Some(like) => of_x(to, call, Prim::ExpandAs, &[like])?,
            None => {
                let shape = to.needed_ints(call, "target_shape", "Y", "Y")?;
                of_x(to, call, Prim::Expand, &[shape])?;
            }
        },
        "tile" => {
            let repeats = to.needed_ints(call, "repeat_times", "RepeatTimes", "repeat_times_tensor")?;
            of_x(to, call, Prim::Tile, &[repeats])?;
        }
        "slice" | "strided_slice" => slice(to, call)?,
        "flip" => flip(to, call)?,
        "concat" => {
            let axis = to.axis(call, "axis", "AxisTensor", 0)?;
            let inputs = to.inputs(call, "X")?;
            to.simple(call, Prim::Concat { axis }, &inputs, "Out")?;
        }
        "stack" => {
            let axis = call.int("axis").unwrap_or(0);
            let inputs = to.inputs(call, "X")?;
            to.simple(call, Prim::Stack { axis }, &inputs, "Y")?;
        }
        "split" => split(to, call)?,
        "unbind" => parts(to, call, "Out")?,
        "unstack" => parts(to, call, "Y")?,
        "meshgrid" => many(to, call, Prim::Meshgrid)?,
        "broadcast_tensors" => many(to, call, Prim::Broadcast)?,
        "gather" => {
            let axis = to.axis(call, "axis", "Axis", 0)?;
            let index = to.input(call, "Index")?;
            of_x(to, call, Prim::Gather { axis }, &[index])?;
        }
        "index_select" => {
            let axis = call.int("dim").unwrap_or(0);
            let index = to.input(call, "Index")?;
            of_x(to, call, Prim::Gather { axis }, &[index])?;
        }
        "gather_nd" => {
            let index = to.input(call, "Index")?;
            of_x(to, call, Prim::GatherNd { batch_dims: 0 }, &[index])?;
        }
        "take_along_axis" => {
            let axis = call.int("Axis").ok_or_else(|| call.fault("it has no axis"))?;
            let inputs = [to.input(call, "Input")?, to.input(call, "Index")?];
            to.simple(call, Prim::GatherElements { axis }, &inputs, "Result")?;
        }
        "lookup_table_v2" => {
            let inputs = [to.input(call, "W")?, to.input(call, "Ids")?];
            to.simple(call, Prim::Gather { axis: 0 }, &inputs, "Out")?;
        }
        "top_k_v2" | "top_k" | "argsort" => top_k(to, call)?,
        "one_hot_v2" => {
            let depth = match to.maybe(call, "depth_tensor")? {
                Some(depth) => depth,
                None => {
                    let depth = call.int("depth").ok_or_else(|| call.fault("it has no depth"))?;
                    to.graph.int(&call.name, "depth", depth)
                }
            };
            of_x(to, call, Prim::OneHot { axis: -1, dtype: DType::Float }, &[depth])?;
        }
        "tril_triu" => of_x(to, call, Prim::Triangle, &[])?,
        "roll" => of_x(to, call, Prim::Scatter, &[])?,
        "scatter" => of_x(to, call, Prim::Scatter, &[])?,
        "set_value" => replaced(to, call, "Input", "Out")?,
        "put_along_axis" => replaced(to, call, "Input", "Result")?,
        "index_put" => replaced(to, call, "x", "out")?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// From `X` and what says how, to `Out`.
fn of_x(to: &mut Lowering, call: &Call, prim: Prim, more: &[TensorId]) -> Result<()> {
    let inputs: Vec<TensorId> = std::iter::once(to.input(call, "X")?).chain(more.iter().copied()).collect();
    to.simple(call, prim, &inputs, "Out")
}

/// From several tensors to as many.
fn many(to: &mut Lowering, call: &Call, prim: Prim) -> Result<()> {
    let inputs = to.inputs(call, "X")?.into_iter().map(Some).collect();
    let outputs = to.outputs(call, "Out")?;
    to.push(call, prim, inputs, outputs);
    Ok(())
}

/// A tensor of the same shape with other elements.
fn replaced(to: &mut Lowering, call: &Call, input: &str, output: &str) -> Result<()> {
    let input = to.input(call, input)?;
    to.simple(call, Prim::Scatter, &[input], output)
}

/// Without axes, all dimensions of size 1.
fn squeeze(to: &mut Lowering, call: &Call) -> Result<()> {
    let prim = Prim::Squeeze { lenient: true };
    let none = call.input("AxesTensor").is_none() && call.ints("axes").is_none_or(<[i64]>::is_empty);
    if none {
        return of_x(to, call, prim, &[]);
    }
    let axes = to.needed_ints(call, "axes", "AxesTensor", "AxesTensorList")?;
    of_x(to, call, prim, &[axes])
}

/// `slice` may drop the axes it has cut to one.
fn slice(to: &mut Lowering, call: &Call) -> Result<()> {
    let input = to.input(call, "Input")?;
    let starts = to.needed_ints(call, "starts", "StartsTensor", "StartsTensorList")?;
    let ends = to.needed_ints(call, "ends", "EndsTensor", "EndsTensorList")?;
    let axes = to.needed_ints(call, "axes", "", "")?;
    let mut inputs = vec![Some(input), Some(starts), Some(ends), Some(axes)];
    if call.op == "strided_slice" {
        inputs.push(to.ints(call, "strides", "StridesTensor", "StridesTensorList")?);
    }
    match call.ints("decrease_axis").filter(|axes| !axes.is_empty()) {
        None => {
            let output = to.output(call, "Out")?;
            to.push(call, Prim::Slice, inputs, vec![output]);
        }
        Some(dropped) => {
            let dropped = to.graph.ints(&call.name, "decrease_axis", dropped);
            let cut = to.graph.temporary(&call.name, "cut");
            to.push(call, Prim::Slice, inputs, vec![cut]);
            let output = to.output(call, "Out")?;
            to.helper(Prim::Squeeze { lenient: false }, vec![Some(cut), Some(dropped)], output);
        }
    }
    Ok(())
}

/// From the last element to the first.
fn flip(to: &mut Lowering, call: &Call) -> Result<()> {
    let axes = call.ints("axis").ok_or_else(|| call.fault("it has no axes"))?;
    let starts = to.graph.ints(&call.name, "starts", &vec![-1; axes.len()]);
    let ends = to.graph.ints(&call.name, "ends", &vec![i64::MIN + 1; axes.len()]);
    let steps = to.graph.ints(&call.name, "steps", &vec![-1; axes.len()]);
    let axes = to.graph.ints(&call.name, "axes", axes);
    of_x(to, call, Prim::Slice, &[starts, ends, axes, steps])
}

/// Into parts of the given sizes, or into equal ones.
fn split(to: &mut Lowering, call: &Call) -> Result<()> {
    let axis = to.axis(call, "axis", "AxisTensor", 0)?;
    let mut inputs = vec![Some(to.input(call, "X")?)];
    let equal = call.int("num").is_some_and(|num| num > 0);
    if !equal {
        inputs.push(Some(to.needed_ints(call, "sections", "SectionsTensor", "SectionsTensorList")?));
    }
    let outputs = to.outputs(call, "Out")?;
    to.push(call, Prim::Split { axis }, inputs, outputs);
    Ok(())
}

fn parts(to: &mut Lowering, call: &Call, slot: &str) -> Result<()> {
    let axis = call.int("axis").unwrap_or(0);
    let input = to.input(call, "X")?;
    let outputs = to.outputs(call, slot)?;
    to.push(call, Prim::Unstack { axis }, vec![Some(input)], outputs);
    Ok(())
}

/// The largest and where they are; a sort is of all.
fn top_k(to: &mut Lowering, call: &Call) -> Result<()> {
    let mut inputs = vec![Some(to.input(call, "X")?)];
    if call.op != "argsort" {
        let k = to.needed_ints(call, "k", "K", "")?;
        inputs.push(Some(k));
    }
    let outputs = vec![to.output(call, "Out")?, to.output(call, "Indices")?];
    to.push(call, Prim::TopK { axis: call.int("axis").unwrap_or(-1) }, inputs, outputs);
    Ok(())
}
