//! Operations of a network that a program writes as several.

mod activation;
mod bias;
mod norm;
mod pad;

use super::parts::Whole;
use super::view::View;

/// A way to recognise something, from the node that is the least likely to be in anything else. Of what it finds, the last
/// part makes the result.
type Pattern = fn(&View<'_>, usize) -> Option<Whole>;

/// The first pattern that takes a node has it.
const PATTERNS: [Pattern; 8] = [
    norm::layer_norm,
    norm::frozen_batch_norm,
    activation::gelu,
    activation::inverse_sigmoid,
    activation::silu,
    bias::conv,
    bias::linear,
    pad::window,
];

/// What is found in a graph. No node is a part of two.
pub(super) fn find(view: &View<'_>) -> Vec<Whole> {
    let mut taken = vec![false; view.graph.nodes.len()];
    let mut wholes = Vec::new();
    for pattern in PATTERNS {
        for &node in &view.facts.order {
            if taken[node] || view.makes_constants(node) {
                continue;
            }
            let Some(mut whole) = pattern(view, node) else { continue };
            whole.parts.dedup();
            let Some(&last) = whole.parts.last() else { continue };
            if whole.parts.iter().any(|&part| taken[part]) || !view.closed(&whole.parts, last) {
                continue;
            }
            whole.parts.iter().for_each(|&part| taken[part] = true);
            wholes.push(whole);
        }
    }
    wholes
}
