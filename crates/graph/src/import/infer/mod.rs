//! Shape inference: every tensor's shape from the graph's inputs, by integer arithmetic, in the order in which nodes can run.
//!
//! Files declare no shapes that could be trusted, and many shapes are computed by the graph itself (`Shape`, `Gather`,
//! `Concat`, `Reshape`). So small tensors that depend on shapes and constants alone are computed along the way ("folded").
//!
//! Memory and time are bounded: a shape has at most [`MAX_RANK`] dimensions, a folded tensor at most
//! [`MAX_FOLDED`](super::ir::MAX_FOLDED) elements, all of them together at most [`MAX_FOLDED_IN_ALL`]; the rest grows with the
//! number of nodes and operands of the file.

mod bind;
mod call;
mod elementwise;
mod fold;
mod layout;
mod order;
mod product;
mod select;
mod window;

use std::borrow::Cow;

use detrace_flops::Shape;

use super::ImportError;
use super::ir::{DType, Dim, Graph, MAX_FOLDED, Node, Origin, Prim, Tensor, TensorId, Unary, Value};
use call::Call;

/// The most dimensions of a tensor.
const MAX_RANK: usize = 16;
/// The most elements of a tensor, so that sums and products of a few dimensions stay exact.
const MAX_ELEMENTS: u128 = 1 << 48;
/// The most elements of all folded tensors together: 16 MiB.
const MAX_FOLDED_IN_ALL: usize = 1 << 21;

type Result<T> = std::result::Result<T, ImportError>;

/// What is known of a tensor.
#[derive(Clone, Debug)]
pub(super) struct Fact<'g> {
    /// Its dimensions.
    pub(super) shape: Shape,
    /// Its elements' type.
    pub(super) dtype: DType,
    /// Whether it depends on nothing but shapes and what is stored in the file.
    pub(super) constant: bool,
    /// Its elements, if it is small and they could be computed.
    value: Option<Cow<'g, Value>>,
}

/// What is known of a graph's tensors.
#[derive(Debug)]
pub(super) struct Facts<'g> {
    /// Nodes in an order in which they can run; the file's own where that is one.
    pub(super) order: Vec<usize>,
    /// Shape of the image, or of the first input where there is none.
    pub(super) image: Shape,
    facts: Vec<Option<Fact<'g>>>,
}

impl<'g> Facts<'g> {
    /// What is known of a tensor; `None` only for tensors that no node reads or makes.
    pub(super) fn get(&self, id: TensorId) -> Option<&Fact<'g>> {
        self.facts[id.0].as_ref()
    }

    /// Its shape.
    pub(super) fn shape(&self, id: TensorId) -> &[usize] {
        self.get(id).map_or(&[], |fact| &fact.shape)
    }

    /// Whether it depends on nothing but shapes and what is stored.
    pub(super) fn is_constant(&self, id: TensorId) -> bool {
        self.get(id).is_some_and(|fact| fact.constant)
    }

    /// How much a padding puts above and to the left of a map; `None` where it cuts, or pads anything else.
    pub(super) fn befores(&self, graph: &Graph, pad: usize) -> Option<[usize; 2]> {
        let call = Call::new(self, graph, &graph.nodes[pad]);
        window::befores(&call).ok()?
    }

    /// The one number that a small constant consists of, however often.
    pub(super) fn scalar(&self, id: TensorId) -> Option<f64> {
        let value = self.get(id)?.value.as_deref()?;
        let first = fold::number(value, 0)?;
        (1..value.len()).all(|index| fold::number(value, index) == Some(first)).then_some(first)
    }
}

/// Infers every shape, with the image bound to N, C, H, W; without one, to what the file declares and 1×3×640×640 where it
/// leaves sizes open.
pub(super) fn infer(graph: &Graph, image: Option<[usize; 4]>) -> Result<Facts<'_>> {
    let order = order::order(graph)?;
    let bound = bind::inputs(graph, image)?;
    let mut facts = Facts { order, image: bound.image, facts: vec![None; graph.tensors.len()] };
    for (index, tensor) in graph.tensors.iter().enumerate() {
        if tensor.origin == Origin::Stored {
            facts.facts[index] = Some(stored(tensor)?);
        }
    }
    for (id, shape) in bound.shapes {
        let dtype = graph.tensor(id).dtype;
        facts.facts[id.0] = Some(Fact { shape, dtype, constant: false, value: None });
    }
    let mut folded = 0;
    for index in facts.order.clone() {
        let made = node(&facts, graph, &graph.nodes[index])?;
        for (&output, fact) in graph.nodes[index].outputs.iter().zip(made) {
            if let Some(Cow::Owned(value)) = &fact.value {
                folded += value.len();
            }
            facts.facts[output.0] = Some(fact);
        }
        if folded > MAX_FOLDED_IN_ALL {
            let call = Call::new(&facts, graph, &graph.nodes[index]);
            return Err(call.fault(format!("the file has more than {MAX_FOLDED_IN_ALL} elements of small constants")));
        }
    }
    Ok(facts)
}

/// A tensor that lies in or beside the file.
fn stored(tensor: &Tensor) -> Result<Fact<'_>> {
    let fault = |what: String| ImportError::Tensor { name: tensor.name.clone(), what };
    let declared = tensor.declared.as_ref().ok_or_else(|| fault("it is stored, and has no shape".into()))?;
    let sizes = declared.iter().map(|dim| match dim {
        Dim::Known(size) => Some(*size),
        Dim::Named(_) | Dim::Unknown => None,
    });
    let shape: Shape =
        sizes.collect::<Option<_>>().ok_or_else(|| fault("it is stored, and its shape is left open".into()))?;
    let elements = elements(&shape).map_err(fault)?;
    if let Some(value) = &tensor.value
        && value.len() as u128 != elements
    {
        return Err(fault(format!("it has {} elements and the shape {shape:?}", value.len())));
    }
    let value = tensor.value.as_ref().filter(|value| value.len() <= MAX_FOLDED).map(Cow::Borrowed);
    Ok(Fact { shape, dtype: tensor.dtype, constant: true, value })
}

/// The number of elements, if it can be worked with.
fn elements(shape: &[usize]) -> std::result::Result<u128, String> {
    if shape.len() > MAX_RANK {
        return Err(format!("it has {} dimensions; more than {MAX_RANK} are not supported", shape.len()));
    }
    let product = |of: fn(usize) -> u128| shape.iter().try_fold(1u128, |product, &dim| product.checked_mul(of(dim)));
    match product(|dim| dim.max(1) as u128) {
        Some(bound) if bound <= MAX_ELEMENTS => Ok(product(|dim| dim as u128).unwrap_or(0)),
        _ => Err(format!("its shape {shape:?} is too large to be worked with")),
    }
}

/// What a node makes.
fn node<'g>(facts: &Facts<'g>, graph: &'g Graph, node: &'g Node) -> Result<Vec<Fact<'g>>> {
    let call = Call::new(facts, graph, node);
    let made = shapes(&call)?;
    if made.len() < node.outputs.len() {
        return Err(call.fault(format!("it has {} outputs instead of {}", node.outputs.len(), made.len())));
    }
    for (shape, _) in &made {
        elements(shape).map_err(|what| call.fault(format!("of its result, {what}")))?;
    }
    let of_shape = matches!(node.prim, Prim::Shape { .. } | Prim::Size | Prim::FillLike { .. });
    let constant = of_shape || node.inputs.iter().flatten().all(|&id| facts.is_constant(id));
    let values = if constant { fold::fold(&call, &made) } else { Vec::new() };
    let mut values = values.into_iter();
    let made = made.into_iter().map(|(shape, dtype)| Fact {
        shape,
        dtype,
        constant,
        value: values.next().flatten().map(Cow::Owned),
    });
    Ok(made.collect())
}

/// Shape and type of each output.
type Made = Vec<(Shape, DType)>;

/// One output.
fn one(shape: Shape, dtype: DType) -> Result<Made> {
    Ok(vec![(shape, dtype)])
}

fn shapes(call: &Call<'_, '_>) -> Result<Made> {
    match call.prim() {
        Prim::Conv(_)
        | Prim::MaxPool(_)
        | Prim::AvgPool(_)
        | Prim::BatchNorm
        | Prim::Resize
        | Prim::GridSample
        | Prim::Pad => window::shapes(call),
        Prim::MatMul { .. } | Prim::Gemm { .. } | Prim::Mul2d { .. } | Prim::Einsum(_) | Prim::Attention { .. } => {
            product::shapes(call)
        }
        Prim::Softmax { .. }
        | Prim::LayerNorm { .. }
        | Prim::OtherNorm(_)
        | Prim::Binary(..)
        | Prim::Unary(_)
        | Prim::Clip
        | Prim::Where
        | Prim::Reduce { .. }
        | Prim::CumSum
        | Prim::Triangle
        | Prim::Scatter => elementwise::shapes(call),
        Prim::Slice
        | Prim::Gather { .. }
        | Prim::GatherElements { .. }
        | Prim::GatherNd { .. }
        | Prim::Split { .. }
        | Prim::Unstack { .. }
        | Prim::TopK { .. }
        | Prim::OneHot { .. } => select::shapes(call),
        Prim::Reshape { .. }
        | Prim::Flatten { .. }
        | Prim::FlattenTo2d { .. }
        | Prim::Squeeze { .. }
        | Prim::Unsqueeze { .. }
        | Prim::Transpose(_)
        | Prim::MoveAxis { .. }
        | Prim::Expand
        | Prim::ExpandAs
        | Prim::Broadcast
        | Prim::Tile
        | Prim::Concat { .. }
        | Prim::Stack { .. }
        | Prim::Range
        | Prim::Meshgrid
        | Prim::Shape { .. }
        | Prim::Size
        | Prim::Fill { .. }
        | Prim::FillLike { .. } => layout::shapes(call),
    }
}

/// Whether a node's result is its input, element by element.
pub(super) fn is_view(prim: &Prim) -> bool {
    matches!(
        prim,
        Prim::Reshape { .. }
            | Prim::Flatten { .. }
            | Prim::FlattenTo2d { .. }
            | Prim::Squeeze { .. }
            | Prim::Unsqueeze { .. }
            | Prim::Unary(Unary::Identity)
    )
}

#[cfg(test)]
mod tests;
