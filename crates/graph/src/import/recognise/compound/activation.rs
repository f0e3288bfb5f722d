//! Activations.

use detrace_flops::Kind;

use super::super::parts::{Facts, Whole};
use super::super::view::View;
use crate::import::ir::{Binary, Prim, TensorId, Unary};

fn whole(view: &View<'_>, kind: Kind, role: &'static str, x: TensorId, parts: Vec<usize>) -> Option<Whole> {
    let shape = view.shape(x);
    Some(Whole { facts: Facts { role, ..Facts::new(kind, vec![shape.to_vec()], shape) }, parts })
}

/// `x × sigmoid(x)`.
pub(super) fn silu(view: &View<'_>, node: usize) -> Option<Whole> {
    let x = view.original(view.unary(node, Unary::Sigmoid)?);
    let product = view.reader(node)?;
    let operands = view.binary(product, Binary::Mul)?;
    if !operands.iter().any(|&operand| view.original(operand) == x) {
        return None;
    }
    whole(view, Kind::Silu, "", x, vec![node, product])
}

/// `x × (1 + erf(x / √2)) / 2`, with the half anywhere: from its error function.
pub(super) fn gelu(view: &View<'_>, node: usize) -> Option<Whole> {
    let argument = view.maker(view.unary(node, Unary::Erf)?)?;
    let [x, divisor] =
        view.with_constant(argument, Binary::Div).or_else(|| view.with_constant(argument, Binary::Mul))?;
    let x = view.original(x);
    let root = view.scalar(divisor)?;
    if ![2f64.sqrt(), 0.5f64.sqrt()].iter().any(|wanted| (root - wanted).abs() < 1e-3) {
        return None;
    }
    let plus_one = view.reader(node)?;
    let [_, one] = view.with_constant(plus_one, Binary::Add)?;
    if view.scalar(one)? != 1.0 {
        return None;
    }
    let mut parts = vec![argument, node, plus_one];
    let is_half = |node: usize| {
        view.with_constant(node, Binary::Mul).filter(|[_, half]| view.scalar(*half) == Some(0.5)).map(|[of, _]| of)
    };
    // The half may be of the sum, of x, or of their product.
    let mut halved = false;
    let mut last = view.reader(plus_one)?;
    if is_half(last).is_some() {
        halved = true;
        parts.push(last);
        last = view.reader(last)?;
    }
    let operands = view.binary(last, Binary::Mul)?;
    let before = parts.last().and_then(|&node| view.output(node))?;
    let other = operands.into_iter().find(|&operand| view.original(operand) != before)?;
    if view.original(other) != x {
        let half =
            view.maker(other).filter(|&node| is_half(node).is_some_and(|of| view.original(of) == x) && !halved)?;
        halved = true;
        parts.push(half);
    }
    parts.push(last);
    if !halved {
        let half = view.reader(last).filter(|&node| is_half(node).is_some())?;
        parts.push(half);
    }
    whole(view, Kind::Gelu, "", x, parts)
}

/// `log(x / (1 - x))` with both parts, and perhaps x, kept in bounds: from its logarithm.
pub(super) fn inverse_sigmoid(view: &View<'_>, node: usize) -> Option<Whole> {
    let quotient = view.maker(view.unary(node, Unary::Log)?)?;
    let [upper, lower] = view.binary(quotient, Binary::Div)?;
    let mut parts = Vec::new();
    let lower = behind_bounds(view, lower, None, &mut parts);
    let rest = view.maker(lower)?;
    let (x, steps) = one_minus(view, rest)?;
    parts.extend(steps);
    let x = view.original(x);
    if behind_bounds(view, upper, Some(x), &mut parts) != x {
        return None;
    }
    // The bounds of x itself are not a part where something else reads them too.
    let mut outer = Vec::new();
    let inside = behind_bounds(view, x, None, &mut outer);
    let all = [outer, parts.clone(), vec![quotient, node]].concat();
    if view.closed(&all, node) {
        return whole(view, Kind::Sigmoid, "inverse_sigmoid", inside, all);
    }
    parts.extend([quotient, node]);
    whole(view, Kind::Sigmoid, "inverse_sigmoid", x, parts)
}

/// Bounds are one operation or two, and may be of bounds themselves.
const MOST_BOUNDS: usize = 4;

/// The tensor before it was kept in bounds, but not before `until`; the nodes in between are added.
fn behind_bounds(view: &View<'_>, id: TensorId, until: Option<TensorId>, parts: &mut Vec<usize>) -> TensorId {
    let mut id = view.original(id);
    for _ in 0..MOST_BOUNDS {
        let Some(node) = view.maker(id).filter(|_| Some(id) != until) else { break };
        let bounded = match view.prim(node) {
            Prim::Clip => view.input(node, 0),
            _ => [Binary::Max, Binary::Min].iter().find_map(|&op| view.with_constant(node, op)).map(|[x, _]| x),
        };
        let Some(input) = bounded else { break };
        parts.push(node);
        id = view.original(input);
    }
    id
}

/// What a node is one less, and the nodes that make it so.
fn one_minus(view: &View<'_>, node: usize) -> Option<(TensorId, Vec<usize>)> {
    if let Some(x) = view.unary(node, Unary::Affine { scale: -1.0, bias: 1.0 }) {
        return Some((x, vec![node]));
    }
    if let Some([one, x]) = view.binary(node, Binary::Sub) {
        return (view.scalar(one) == Some(1.0)).then_some((x, vec![node]));
    }
    let [negative, one] = view.with_constant(node, Binary::Add)?;
    let inner = view.maker(negative)?;
    let x = view.unary(inner, Unary::Neg)?;
    (view.scalar(one) == Some(1.0)).then_some((x, vec![inner, node]))
}
