//! A graph to look around in: who makes a tensor, who reads it.

use crate::import::infer::{Facts, is_view};
use crate::import::ir::{Binary, DType, Graph, Node, Origin, Prim, TensorId, Unary};

/// A graph, what is known of its tensors, and how they are connected.
pub(super) struct View<'a> {
    pub(super) graph: &'a Graph,
    pub(super) facts: &'a Facts<'a>,
    makers: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
    is_output: Vec<bool>,
}

impl<'a> View<'a> {
    pub(super) fn new(graph: &'a Graph, facts: &'a Facts<'a>) -> View<'a> {
        let mut makers = vec![None; graph.tensors.len()];
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.tensors.len()];
        let mut is_output = vec![false; graph.tensors.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            for &output in &node.outputs {
                makers[output.0] = Some(index);
            }
            for &input in node.inputs.iter().flatten() {
                // Whoever reads it twice is one reader.
                if readers[input.0].last() != Some(&index) {
                    readers[input.0].push(index);
                }
            }
        }
        for &output in &graph.outputs {
            is_output[output.0] = true;
        }
        View { graph, facts, makers, readers, is_output }
    }

    pub(super) fn node(&self, index: usize) -> &'a Node {
        &self.graph.nodes[index]
    }

    pub(super) fn prim(&self, index: usize) -> &'a Prim {
        &self.node(index).prim
    }

    pub(super) fn input(&self, node: usize, index: usize) -> Option<TensorId> {
        self.node(node).inputs.get(index).copied().flatten()
    }

    /// The first output.
    pub(super) fn output(&self, node: usize) -> Option<TensorId> {
        self.node(node).outputs.first().copied()
    }

    pub(super) fn shape(&self, id: TensorId) -> &'a [usize] {
        self.facts.shape(id)
    }

    pub(super) fn is_constant(&self, id: TensorId) -> bool {
        self.facts.is_constant(id)
    }

    pub(super) fn scalar(&self, id: TensorId) -> Option<f64> {
        self.facts.scalar(id)
    }

    /// Whether a node's results depend on nothing but shapes and what is stored.
    pub(super) fn makes_constants(&self, node: usize) -> bool {
        self.node(node).outputs.iter().all(|&id| self.is_constant(id))
    }

    /// Whether a node computes whole numbers from whole numbers.
    pub(super) fn is_integer(&self, node: usize) -> bool {
        let node = self.node(node);
        let whole = |id: &TensorId| self.facts.get(*id).is_some_and(|fact| fact.dtype != DType::Float);
        node.outputs.iter().all(whole) && node.inputs.iter().flatten().all(whole)
    }

    /// Whether a node gives its input as it is.
    fn is_copy(&self, node: usize) -> bool {
        matches!(self.prim(node), Prim::Unary(Unary::Identity | Unary::Cast(DType::Float)))
    }

    /// The tensor that this one is a copy of.
    pub(super) fn original(&self, id: TensorId) -> TensorId {
        self.back_through(id, |node| self.is_copy(node))
    }

    /// The tensor behind nodes of one input that `passed` says do not matter.
    fn back_through(&self, id: TensorId, passed: impl Fn(usize) -> bool) -> TensorId {
        let mut id = id;
        while let Some(input) = self.makers[id.0].filter(|&node| passed(node)).and_then(|node| self.input(node, 0)) {
            id = input;
        }
        id
    }

    /// The node that makes a tensor, behind copies.
    pub(super) fn maker(&self, id: TensorId) -> Option<usize> {
        self.makers[self.original(id).0]
    }

    /// The same behind what only moves elements.
    pub(super) fn maker_behind_moves(&self, id: TensorId) -> Option<usize> {
        self.makers[self.back_through(id, |node| moves(self.prim(node))).0]
    }

    /// The stored tensor whose elements these are, all of them or some.
    pub(super) fn stored(&self, id: TensorId) -> TensorId {
        self.back_through(id, |node| self.is_copy(node) || moves(self.prim(node)) || cuts(self.prim(node)))
    }

    /// Whether a tensor lies in or beside the file.
    pub(super) fn is_stored(&self, id: TensorId) -> bool {
        self.graph.tensor(id).origin == Origin::Stored
    }

    /// The only node that reads a node's result, behind copies.
    pub(super) fn reader(&self, node: usize) -> Option<usize> {
        self.reader_through(node, |node| self.is_copy(node))
    }

    /// The same behind what only moves elements.
    pub(super) fn reader_behind_moves(&self, node: usize) -> Option<usize> {
        self.reader_through(node, |node| self.is_copy(node) || moves(self.prim(node)))
    }

    fn reader_through(&self, node: usize, passed: impl Fn(usize) -> bool) -> Option<usize> {
        let mut node = node;
        loop {
            let output = self.output(node)?;
            let [reader] = self.readers[output.0][..] else { return None };
            if self.is_output[output.0] {
                return None;
            }
            if !passed(reader) {
                return Some(reader);
            }
            node = reader;
        }
    }

    /// The nodes that read a tensor, behind copies.
    pub(super) fn readers(&self, id: TensorId) -> Vec<usize> {
        let mut found = Vec::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            for &reader in &self.readers[id.0] {
                match self.output(reader).filter(|_| self.is_copy(reader)) {
                    Some(copy) => open.push(copy),
                    None => found.push(reader),
                }
            }
        }
        found
    }

    /// Whether what `parts` make is read by nobody else, except what `last` makes.
    pub(super) fn closed(&self, parts: &[usize], last: usize) -> bool {
        parts.iter().filter(|&&part| part != last).flat_map(|&part| &self.node(part).outputs).all(|&output| {
            !self.is_output[output.0] && self.readers(output).iter().all(|reader| parts.contains(reader))
        })
    }

    /// The operands of an elementwise operation of two.
    pub(super) fn binary(&self, node: usize, wanted: Binary) -> Option<[TensorId; 2]> {
        match self.prim(node) {
            Prim::Binary(op, _) if *op == wanted => Some([self.input(node, 0)?, self.input(node, 1)?]),
            _ => None,
        }
    }

    /// The operands of such an operation with a constant, the constant last.
    pub(super) fn with_constant(&self, node: usize, wanted: Binary) -> Option<[TensorId; 2]> {
        let [a, b] = self.binary(node, wanted)?;
        match (self.is_constant(a), self.is_constant(b)) {
            (false, true) => Some([a, b]),
            (true, false) => Some([b, a]),
            _ => None,
        }
    }

    /// The input of an elementwise operation of one.
    pub(super) fn unary(&self, node: usize, wanted: Unary) -> Option<TensorId> {
        match self.prim(node) {
            Prim::Unary(op) if *op == wanted => self.input(node, 0),
            _ => None,
        }
    }
}

/// Whether a node keeps every element and gives each another place.
fn moves(prim: &Prim) -> bool {
    is_view(prim)
        || matches!(prim, Prim::Flatten { .. } | Prim::FlattenTo2d { .. } | Prim::Transpose(_) | Prim::MoveAxis { .. })
}

/// Whether a node takes some of its input's elements.
fn cuts(prim: &Prim) -> bool {
    matches!(prim, Prim::Slice | Prim::Split { .. } | Prim::Unstack { .. })
}
