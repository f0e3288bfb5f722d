//! The order in which nodes can run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Result;
use crate::import::ImportError;
use crate::import::ir::{Graph, Origin};

/// Indices of nodes such that each comes after those whose results it reads, and as in the file where that is possible.
pub(super) fn order(graph: &Graph) -> Result<Vec<usize>> {
    let mut maker: Vec<Option<usize>> = vec![None; graph.tensors.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for &output in &node.outputs {
            let tensor = graph.tensor(output);
            if tensor.origin != Origin::Node || maker[output.0].replace(index).is_some() {
                let what = "a node writes it, and it comes from elsewhere as well".to_owned();
                return Err(ImportError::Tensor { name: tensor.name.clone(), what });
            }
        }
    }
    // How many of its inputs a node still waits for, and who waits for it.
    let mut waits = vec![0usize; graph.nodes.len()];
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for &input in node.inputs.iter().flatten() {
            let tensor = graph.tensor(input);
            match maker[input.0] {
                Some(maker) => {
                    waits[index] += 1;
                    waiting[maker].push(index);
                }
                None if tensor.origin == Origin::Node => {
                    return Err(graph.fault(node, format!("it reads {:?}, which nothing makes", tensor.name)));
                }
                None => {}
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..waits.len()).filter(|&node| waits[node] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for &next in &waiting[node] {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.push(Reverse(next));
            }
        }
    }
    match waits.iter().position(|&count| count > 0) {
        Some(node) => Err(graph.fault(&graph.nodes[node], "it waits for itself: the graph has a cycle")),
        None => Ok(order),
    }
}
