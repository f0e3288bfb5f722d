//! What one node of a graph is, by itself.

use detrace_flops::{Attrs, Kind, Shape};

use super::parts::Facts;
use super::view::View;
use crate::import::ImportError;
use crate::import::ir::{Binary, Conv, Padding, Pool, Prim, Reduce, TensorId, Unary};

/// The operation that a node is; `None` for what does no arithmetic and copies nothing.
pub(super) fn facts(view: &View<'_>, node: usize) -> Result<Option<Facts>, ImportError> {
    let Some(output) = view.output(node) else { return Ok(None) };
    let shape_of = |index: usize| view.input(node, index).map_or(Shape::new(), |id| view.shape(id).to_vec());
    let output = view.shape(output);
    let plain = |kind: Kind| Some(Facts::new(kind, vec![shape_of(0)], output));
    let all = |kind: Kind| {
        let inputs = view.node(node).inputs.iter().flatten().map(|&id| view.shape(id).to_vec()).collect();
        Some(Facts::new(kind, inputs, output))
    };
    let two = |kind: Kind| Some(Facts::new(kind, vec![shape_of(0), shape_of(1)], output));
    Ok(match view.prim(node) {
        Prim::Conv(conv) => plain(Kind::Conv2d).map(|facts| self::conv(view, node, conv, facts)),
        Prim::MatMul { .. } | Prim::Gemm { .. } | Prim::Mul2d { .. } => Some(product(view, node, output)),
        Prim::Einsum(equation) => Some(einsum(view, node, equation, output)?),
        Prim::Softmax { .. } => plain(Kind::Softmax),
        Prim::LayerNorm { .. } => plain(Kind::LayerNorm).map(|facts| affine(view, node, facts)),
        Prim::BatchNorm => plain(Kind::BatchNorm).map(|facts| {
            affine(view, node, facts).vector(view, "running_mean", view.input(node, 3)).vector(
                view,
                "running_var",
                view.input(node, 4),
            )
        }),
        Prim::OtherNorm(name) => plain(Kind::custom(name)).map(|facts| affine(view, node, facts)),
        Prim::Binary(op, _) => two(binary(*op)),
        Prim::Unary(op) => unary(*op).and_then(plain),
        Prim::Clip => plain(Kind::custom("clip")),
        Prim::Reduce { op, .. } => plain(reduction(*op)).map(|facts| Facts { role: "sum", ..facts }.of_sum(*op)),
        Prim::CumSum => plain(Kind::custom("cumsum")),
        Prim::MaxPool(pool) => plain(Kind::MaxPool2d).map(|facts| self::pool(pool, facts)),
        Prim::AvgPool(pool) => plain(Kind::AvgPool2d).map(|facts| self::pool(pool, facts)),
        Prim::Resize => plain(Kind::Interpolate),
        Prim::GridSample => two(Kind::GridSample),
        Prim::TopK { .. } => plain(Kind::TopK),
        Prim::Concat { .. } | Prim::Stack { .. } => all(Kind::Concat),
        Prim::Gather { .. } | Prim::GatherElements { .. } | Prim::GatherNd { .. } => two(Kind::Gather),
        Prim::Transpose(_)
        | Prim::MoveAxis { .. }
        | Prim::Expand
        | Prim::ExpandAs
        | Prim::Broadcast
        | Prim::Tile
        | Prim::Slice
        | Prim::Split { .. }
        | Prim::Unstack { .. }
        | Prim::Pad
        | Prim::Scatter
        | Prim::Where
        | Prim::Triangle
        | Prim::OneHot { .. } => plain(Kind::Copy),
        Prim::Attention { .. } => all(Kind::custom("attention")),
        Prim::Reshape { .. }
        | Prim::Flatten { .. }
        | Prim::FlattenTo2d { .. }
        | Prim::Squeeze { .. }
        | Prim::Unsqueeze { .. }
        | Prim::Range
        | Prim::Meshgrid
        | Prim::Shape { .. }
        | Prim::Size
        | Prim::Fill { .. }
        | Prim::FillLike { .. } => None,
    })
}

impl Facts {
    /// Only a sum has the role of one.
    fn of_sum(self, op: Reduce) -> Facts {
        if op == Reduce::Sum { self } else { Facts { role: "", ..self } }
    }
}

fn affine(view: &View<'_>, node: usize, facts: Facts) -> Facts {
    facts.vector(view, "weight", view.input(node, 1)).vector(view, "bias", view.input(node, 2))
}

fn binary(op: Binary) -> Kind {
    match op {
        Binary::Add => Kind::Add,
        Binary::Sub => Kind::Sub,
        Binary::Mul => Kind::Mul,
        Binary::Div => Kind::Div,
        Binary::FloorDiv => Kind::custom("floor_div"),
        Binary::Mod => Kind::custom("mod"),
        Binary::Pow => Kind::custom("pow"),
        Binary::Max => Kind::custom("max"),
        Binary::Min => Kind::custom("min"),
        Binary::Equal
        | Binary::NotEqual
        | Binary::Less
        | Binary::LessEqual
        | Binary::Greater
        | Binary::GreaterEqual => Kind::custom("compare"),
        Binary::And | Binary::Or | Binary::Xor => Kind::custom("logic"),
    }
}

/// A copy is none; a cast is a copy.
fn unary(op: Unary) -> Option<Kind> {
    Some(match op {
        Unary::Relu => Kind::Relu,
        Unary::Sigmoid => Kind::Sigmoid,
        Unary::Silu => Kind::Silu,
        Unary::Gelu => Kind::Gelu,
        Unary::Erf => Kind::custom("erf"),
        Unary::Exp => Kind::custom("exp"),
        Unary::Log => Kind::custom("log"),
        Unary::Sqrt => Kind::custom("sqrt"),
        Unary::Rsqrt => Kind::custom("rsqrt"),
        Unary::Square => Kind::Mul,
        Unary::Reciprocal => Kind::Div,
        Unary::Neg => Kind::custom("neg"),
        Unary::Abs => Kind::custom("abs"),
        Unary::Sin => Kind::custom("sin"),
        Unary::Cos => Kind::custom("cos"),
        Unary::Floor => Kind::custom("floor"),
        Unary::Ceil => Kind::custom("ceil"),
        Unary::Round => Kind::custom("round"),
        Unary::Not => Kind::custom("logic"),
        Unary::Affine { scale: 1.0, bias: 0.0 } => return None,
        Unary::Affine { scale: 1.0, .. } => Kind::Add,
        Unary::Affine { bias: 0.0, .. } => Kind::Mul,
        Unary::Affine { .. } => Kind::custom("scale_and_shift"),
        Unary::Cast(_) | Unary::Identity => return None,
        Unary::Other(name) => Kind::custom(name),
    })
}

/// The largest is found as the best of a list is.
fn reduction(op: Reduce) -> Kind {
    match op {
        Reduce::Sum => Kind::Add,
        Reduce::Max | Reduce::Min | Reduce::ArgMax | Reduce::ArgMin => Kind::TopK,
        Reduce::Mean => Kind::custom("mean"),
        Reduce::Prod => Kind::custom("prod"),
        Reduce::Any | Reduce::All => Kind::custom("logic"),
        Reduce::L2 => Kind::custom("l2"),
    }
}

fn conv(view: &View<'_>, node: usize, conv: &Conv, facts: Facts) -> Facts {
    let Some(weight) = view.input(node, 1) else { return facts };
    let shape = view.shape(weight);
    let &[.., height, width] = shape else { return facts };
    let attrs = Attrs {
        kernel: Some([height, width]),
        stride: Some(conv.stride),
        padding: explicit(&conv.padding, [[height, width], conv.stride, conv.dilation], &facts),
        groups: Some(conv.groups),
        frozen: false,
    };
    let facts = Facts { attrs, ..facts };
    facts.param("weight", shape, weight).vector(view, "bias", view.input(node, 2))
}

/// Top, left, bottom, right. What `Same` adds to reach the result's size stands behind where it is odd.
fn explicit(padding: &Padding, window: [[usize; 2]; 3], facts: &Facts) -> Option<[usize; 4]> {
    let [kernel, stride, dilation] = window;
    match padding {
        Padding::Explicit([top, left], [bottom, right]) => Some([*top, *left, *bottom, *right]),
        Padding::Valid => Some([0; 4]),
        Padding::Same => {
            let added = |axis: usize| {
                let (from, to) = (*facts.inputs[0].get(axis + 2)?, *facts.output.get(axis + 2)?);
                let reach = to.checked_sub(1)?.checked_mul(stride[axis])?;
                let extent = kernel[axis].checked_sub(1)?.checked_mul(dilation[axis])?.checked_add(1)?;
                Some(reach.checked_add(extent)?.saturating_sub(from))
            };
            let (down, right) = (added(0)?, added(1)?);
            Some([down / 2, right / 2, down.div_ceil(2), right.div_ceil(2)])
        }
    }
}

/// A pool over a whole map, or into so many windows, has a window as large as that makes it.
fn pool(pool: &Pool, facts: Facts) -> Facts {
    let over = |axis: usize| {
        let (from, to) = (facts.inputs[0].get(axis).copied(), facts.output.get(axis).copied());
        from.zip(to).map_or(1, |(from, to)| from.div_ceil(to.max(1)))
    };
    let attrs = match pool {
        Pool::Window { kernel, stride, padding, dilation, .. } => {
            let padding = explicit(padding, [*kernel, *stride, *dilation], &facts);
            Attrs { kernel: Some(*kernel), stride: Some(*stride), padding, ..Attrs::default() }
        }
        Pool::Global | Pool::Adaptive(_) => Attrs { kernel: Some([over(2), over(3)]), ..Attrs::default() },
    };
    Facts { attrs, ..facts }
}

/// A product with a matrix that is constant is a linear layer.
fn product(view: &View<'_>, node: usize, output: &[usize]) -> Facts {
    let (trans_a, trans_b, flatten_at) = match view.prim(node) {
        Prim::MatMul { trans_a, trans_b } | Prim::Gemm { trans_a, trans_b } => (*trans_a, *trans_b, None),
        Prim::Mul2d { flatten_at } => (false, false, Some(*flatten_at)),
        _ => (false, false, None),
    };
    let shape = |index: usize| view.input(node, index).map_or(Shape::new(), |id| view.shape(id).to_vec());
    let (mut a, b) = (shape(0), shape(1));
    // What is summed over stands last.
    if trans_a && a.len() > 1 {
        let last = a.len() - 1;
        a.swap(last, last - 1);
    }
    if let Some(at) = flatten_at.filter(|&at| at < a.len()) {
        let width = a.drain(at..).product();
        a.push(width);
    }
    let constant = |index: usize| view.input(node, index).is_some_and(|id| view.is_constant(id));
    let matrix = match b.as_slice() {
        [rest @ .., rows, columns] if rest.iter().all(|&size| size == 1) => Some([*rows, *columns]),
        _ => None,
    };
    match (matrix, view.input(node, 1)) {
        (Some([rows, columns]), Some(weight)) if constant(1) && !constant(0) => {
            let weight_shape = if trans_b { [rows, columns] } else { [columns, rows] };
            let facts = Facts::new(Kind::Linear, vec![a], output).param("weight", &weight_shape, weight);
            facts.vector(view, "bias", view.input(node, 2))
        }
        _ => Facts::new(Kind::Matmul, vec![a, b], output),
    }
}

/// A sum over what the result does not have: a product of two, or the sum or another order of one.
fn einsum(view: &View<'_>, node: usize, equation: &str, output: &[usize]) -> Result<Facts, ImportError> {
    let inputs: Vec<TensorId> = view.node(node).inputs.iter().flatten().copied().collect();
    let shapes: Vec<Shape> = inputs.iter().map(|&id| view.shape(id).to_vec()).collect();
    // The letters of two operands are few.
    let summed = if shapes.len() <= 2 { summed(equation, &shapes) } else { 0 };
    match inputs.len() {
        1 if summed == 1 => Ok(Facts::new(Kind::Copy, shapes, output)),
        1 => Ok(Facts { role: "sum", ..Facts::new(Kind::Add, shapes, output) }),
        2 => {
            let rows = shapes[0].iter().product::<usize>() / summed.max(1);
            Ok(Facts::new(Kind::Matmul, vec![vec![rows, summed], shapes[1].clone()], output))
        }
        count => {
            let what = format!("a product of {count} tensors in one equation has no definite number of operations");
            Err(view.graph.fault(view.node(node), what))
        }
    }
}

/// The number of elements that each element of the result is a sum of.
fn summed(equation: &str, shapes: &[Shape]) -> usize {
    let equation: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
    let (left, right) = equation.split_once("->").map_or((equation.as_str(), None), |(a, b)| (a, Some(b)));
    let mut sizes: Vec<(char, usize, usize)> = Vec::new();
    for (letter, &size) in left.split(',').zip(shapes).flat_map(|(letters, shape)| letters.chars().zip(shape)) {
        match sizes.iter_mut().find(|(known, ..)| *known == letter) {
            Some((_, known, times)) => (*known, *times) = ((*known).max(size), *times + 1),
            None => sizes.push((letter, size, 1)),
        }
    }
    let kept = |letter: char, times: usize| right.map_or(times == 1, |right| right.contains(letter));
    sizes.iter().filter(|(letter, _, times)| !kept(*letter, *times)).map(|(_, size, _)| size).product()
}
