//! A graph to look around in: who makes a tensor, who reads it.

use crate::import::infer::{Facts, is_view};
use crate::import::ir::{Binary, DType, Graph, Node, Origin, Prim, TensorId, Unary};

/// The most nodes between two that are looked for behind what only moves elements.
const FURTHEST: usize = 32;

/// A graph, what is known of its tensors, and how they are connected. Every look takes the same time, however long the
/// chains of copies in a file are.
pub(super) struct View<'a> {
    pub(super) graph: &'a Graph,
    pub(super) facts: &'a Facts<'a>,
    makers: Vec<Option<usize>>,
    /// Of each tensor what it is a copy of.
    originals: Vec<TensorId>,
    /// Of each tensor what has the same elements, perhaps in other places.
    unmoved: Vec<TensorId>,
    /// Of each tensor what has its elements, and perhaps others.
    sources: Vec<TensorId>,
    /// Who reads a tensor or a copy of it, by the original.
    readers: Vec<Vec<usize>>,
    /// Whether a tensor or a copy of it is an output, by the original.
    is_output: Vec<bool>,
}

impl<'a> View<'a> {
    pub(super) fn new(graph: &'a Graph, facts: &'a Facts<'a>) -> View<'a> {
        let itself: Vec<TensorId> = (0..graph.tensors.len()).map(TensorId).collect();
        let mut view = View {
            graph,
            facts,
            makers: vec![None; itself.len()],
            originals: itself.clone(),
            unmoved: itself.clone(),
            sources: itself,
            readers: vec![Vec::new(); graph.tensors.len()],
            is_output: vec![false; graph.tensors.len()],
        };
        for &index in &facts.order {
            let Node { prim, inputs, outputs, .. } = &graph.nodes[index];
            for &output in outputs {
                view.makers[output.0] = Some(index);
            }
            let Some(input) = inputs.first().copied().flatten() else { continue };
            for &output in outputs {
                if copies(prim) {
                    view.originals[output.0] = view.originals[input.0];
                }
                if copies(prim) || moves(prim) {
                    view.unmoved[output.0] = view.unmoved[input.0];
                }
                if copies(prim) || moves(prim) || cuts(prim) {
                    view.sources[output.0] = view.sources[input.0];
                }
            }
        }
        for (index, node) in graph.nodes.iter().enumerate().filter(|(_, node)| !copies(&node.prim)) {
            for &input in node.inputs.iter().flatten() {
                let readers = &mut view.readers[view.originals[input.0].0];
                // Whoever reads it twice is one reader.
                if readers.last() != Some(&index) {
                    readers.push(index);
                }
            }
        }
        for &output in &graph.outputs {
            view.is_output[view.originals[output.0].0] = true;
        }
        view
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

    /// The tensor that this one is a copy of.
    pub(super) fn original(&self, id: TensorId) -> TensorId {
        self.originals[id.0]
    }

    /// The node that makes a tensor, behind copies.
    pub(super) fn maker(&self, id: TensorId) -> Option<usize> {
        self.makers[self.originals[id.0].0]
    }

    /// The same behind what only moves elements.
    pub(super) fn maker_behind_moves(&self, id: TensorId) -> Option<usize> {
        self.makers[self.unmoved[id.0].0]
    }

    /// The stored tensor whose elements these are, all of them or some.
    pub(super) fn stored(&self, id: TensorId) -> TensorId {
        self.sources[id.0]
    }

    /// Whether a tensor lies in or beside the file.
    pub(super) fn is_stored(&self, id: TensorId) -> bool {
        self.graph.tensor(id).origin == Origin::Stored
    }

    /// The nodes that read a tensor, behind copies.
    fn readers(&self, id: TensorId) -> &[usize] {
        &self.readers[self.originals[id.0].0]
    }

    /// The only node that reads a node's result, behind copies.
    pub(super) fn reader(&self, node: usize) -> Option<usize> {
        let output = self.output(node)?;
        match self.readers(output) {
            [reader] if !self.is_output[self.originals[output.0].0] => Some(*reader),
            _ => None,
        }
    }

    /// The same behind what only moves elements.
    pub(super) fn reader_behind_moves(&self, node: usize) -> Option<usize> {
        let mut node = node;
        for _ in 0..FURTHEST {
            node = self.reader(node)?;
            if !moves(self.prim(node)) {
                return Some(node);
            }
        }
        None
    }

    /// Whether what `parts` make is read by nobody else, except what `last` makes.
    pub(super) fn closed(&self, parts: &[usize], last: usize) -> bool {
        parts.iter().filter(|&&part| part != last).flat_map(|&part| &self.node(part).outputs).all(|&output| {
            let original = self.originals[output.0];
            !self.is_output[original.0] && self.readers[original.0].iter().all(|reader| parts.contains(reader))
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

/// Whether a node gives its input as it is.
fn copies(prim: &Prim) -> bool {
    matches!(prim, Prim::Unary(Unary::Identity | Unary::Cast(DType::Float)))
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
