//! Norms.

use detrace_flops::Kind;

use super::super::parts::{Facts, Whole};
use super::super::view::View;
use crate::import::ir::{Binary, Prim, Reduce, TensorId, Unary};

/// `(x - mean) / sqrt(variance + ε)`, times a scale, plus a shift, over the last dimension: from its division.
pub(super) fn layer_norm(view: &View<'_>, node: usize) -> Option<Whole> {
    let mut parts = Vec::new();
    let (centred, variance) = match view.binary(node, Binary::Div) {
        Some([centred, deviation]) => {
            let root = view.maker(deviation)?;
            parts.push(root);
            (centred, view.unary(root, Unary::Sqrt)?)
        }
        None => {
            let [a, b] = view.binary(node, Binary::Mul)?;
            let root_of = |id: TensorId| {
                let root = view.maker(id)?;
                if let Some(variance) = view.unary(root, Unary::Rsqrt) {
                    return Some((vec![root], variance));
                }
                let inner = view.maker(view.unary(root, Unary::Reciprocal)?)?;
                Some((vec![inner, root], view.unary(inner, Unary::Sqrt)?))
            };
            let (centred, (roots, variance)) = match root_of(b) {
                Some(found) => (a, found),
                None => (b, root_of(a)?),
            };
            parts.extend(roots);
            (centred, variance)
        }
    };
    let shifted = view.maker(variance)?;
    let [variance, _] = view.with_constant(shifted, Binary::Add)?;
    let second = view.maker(variance)?;
    let squares = mean_of(view, second)?;
    let squaring = view.maker(squares)?;
    let also_centred = square_of(view, squaring)?;
    parts.extend([shifted, second, squaring]);
    let mut x = None;
    // Some exporters write the difference twice.
    for centred in [centred, also_centred] {
        let difference = view.maker(centred)?;
        let [input, mean] = view.binary(difference, Binary::Sub)?;
        let first = view.maker(mean)?;
        if view.original(mean_of(view, first)?) != view.original(input) {
            return None;
        }
        if x.replace(view.original(input)).is_some_and(|other| other != view.original(input)) {
            return None;
        }
        for part in [first, difference] {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        // Only over the last dimension: all that a mean leaves of it is 1.
        let [rest @ .., _] = view.shape(input) else { return None };
        if view.shape(mean) != [rest, &[1]].concat() {
            return None;
        }
    }
    let shape = view.shape(x?);
    let mut facts = Facts::new(Kind::LayerNorm, vec![shape.to_vec()], shape);
    parts.push(node);
    let mut last = node;
    for (op, name) in [(Binary::Mul, "weight"), (Binary::Add, "bias")] {
        let width = shape.last().copied();
        let next = view.reader(last).and_then(|next| Some((next, view.with_constant(next, op)?[1])));
        let Some((next, param)) = next.filter(|(_, param)| Some(view.shape(*param).iter().product()) == width) else {
            break;
        };
        facts = facts.vector(view, name, Some(param));
        parts.push(next);
        last = next;
    }
    Some(Whole { facts, parts })
}

/// What a node is the mean of.
fn mean_of(view: &View<'_>, node: usize) -> Option<TensorId> {
    match view.prim(node) {
        Prim::Reduce { op: Reduce::Mean, keep_dims: true, .. } => view.input(node, 0),
        _ => None,
    }
}

/// What a node is the square of.
fn square_of(view: &View<'_>, node: usize) -> Option<TensorId> {
    if let Some(x) = view.unary(node, Unary::Square) {
        return Some(x);
    }
    if let Some([x, power]) = view.binary(node, Binary::Pow) {
        return (view.scalar(power) == Some(2.0)).then_some(x);
    }
    let [a, b] = view.binary(node, Binary::Mul)?;
    (view.original(a) == view.original(b)).then_some(a)
}

/// A frozen batch norm: a constant for each channel times a map, and another one added.
pub(super) fn frozen_batch_norm(view: &View<'_>, node: usize) -> Option<Whole> {
    let [x, scale] = view.with_constant(node, Binary::Mul)?;
    let shape = view.shape(x);
    let &[_, channels, _, _] = shape else { return None };
    let next = view.reader(node)?;
    let [_, shift] = view.with_constant(next, Binary::Add)?;
    let per_channel = |id: TensorId| matches!(view.shape(id), [1, size, 1, 1] | [size, 1, 1] if *size == channels);
    if channels < 2 || !per_channel(scale) || !per_channel(shift) {
        return None;
    }
    let mut facts = Facts::new(Kind::BatchNorm, vec![shape.to_vec()], shape);
    facts.attrs.frozen = true;
    let facts = facts.vector(view, "weight", Some(scale)).vector(view, "bias", Some(shift));
    Some(Whole { facts, parts: vec![node, next] })
}
