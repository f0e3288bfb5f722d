//! Operations that are something to each other, and stay operations of their own.

use super::view::View;
use crate::import::ir::{Binary, Prim, Reduce};

/// Of each node its role, or nothing.
pub(super) fn find(view: &View<'_>) -> Vec<&'static str> {
    let mut roles = vec![""; view.graph.nodes.len()];
    for node in 0..roles.len() {
        match view.prim(node) {
            Prim::Softmax { .. } => attention(view, node, &mut roles),
            Prim::Reduce { op: Reduce::Sum, .. } => sum_of_products(view, node, &mut roles),
            _ => {}
        }
    }
    roles
}

/// A softmax between two products that are none with weights: scores of queries and keys, and the values mixed by them.
fn attention(view: &View<'_>, softmax: usize, roles: &mut [&'static str]) {
    let is_product = |node: usize| {
        matches!(view.prim(node), Prim::MatMul { .. })
            && (0..2).all(|index| view.input(node, index).is_some_and(|id| !view.is_constant(id)))
    };
    // Scaling and a mask may stand between.
    let mut scores = view.input(softmax, 0).and_then(|id| view.maker_behind_moves(id));
    for _ in 0..4 {
        let Some(node) = scores.filter(|&node| !is_product(node)) else { break };
        let between = [Binary::Mul, Binary::Div, Binary::Add].iter().find_map(|&op| view.binary(node, op));
        scores = between.and_then(|[a, b]| view.maker_behind_moves(if view.is_constant(a) { b } else { a }));
    }
    let mix = view.reader_behind_moves(softmax).filter(|&node| is_product(node));
    if let (Some(scores), Some(mix)) = (scores.filter(|&node| is_product(node)), mix) {
        (roles[scores], roles[softmax], roles[mix]) = ("scores", "softmax", "mix");
    }
}

/// Products that are added up: multiply-accumulates, as in the weighted sum over sampled points.
fn sum_of_products(view: &View<'_>, sum: usize, roles: &mut [&'static str]) {
    let Some(product) = view.input(sum, 0).and_then(|id| view.maker_behind_moves(id)) else { return };
    let Some(operands) = view.binary(product, Binary::Mul) else { return };
    let data = operands.iter().all(|&id| !view.is_constant(id));
    if data && view.reader_behind_moves(product) == Some(sum) {
        (roles[product], roles[sum]) = ("weight", "sum");
    }
}
