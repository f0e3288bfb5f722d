//! A node with what is known of its inputs.

use detrace_flops::Shape;

use super::{Fact, Facts, Result};
use crate::import::ImportError;
use crate::import::ir::{DType, Graph, Node, Prim, TensorId, Value};

/// A node whose outputs are to be inferred.
pub(super) struct Call<'a, 'g> {
    facts: &'a Facts<'g>,
    graph: &'g Graph,
    pub(super) node: &'g Node,
}

impl<'a, 'g> Call<'a, 'g> {
    pub(super) fn new(facts: &'a Facts<'g>, graph: &'g Graph, node: &'g Node) -> Call<'a, 'g> {
        Call { facts, graph, node }
    }

    pub(super) fn prim(&self) -> &'g Prim {
        &self.node.prim
    }

    /// A fault of this node.
    pub(super) fn fault(&self, what: impl Into<String>) -> ImportError {
        self.graph.fault(self.node, what)
    }

    fn id(&self, index: usize) -> Option<TensorId> {
        self.node.inputs.get(index).copied().flatten()
    }

    /// An input that may be left out.
    pub(super) fn maybe(&self, index: usize) -> Option<&'a Fact<'g>> {
        self.facts.get(self.id(index)?)
    }

    /// An input.
    pub(super) fn input(&self, index: usize) -> Result<&'a Fact<'g>> {
        self.maybe(index).ok_or_else(|| self.fault(format!("its input {index} is missing")))
    }

    /// All inputs; none may be left out.
    pub(super) fn inputs(&self) -> Result<Vec<&'a Fact<'g>>> {
        if self.node.inputs.is_empty() {
            return Err(self.fault("it has no inputs"));
        }
        (0..self.node.inputs.len()).map(|index| self.input(index)).collect()
    }

    /// The shape of an input.
    pub(super) fn shape(&self, index: usize) -> Result<&'a [usize]> {
        Ok(&self.input(index)?.shape)
    }

    /// The shape of an input with that many dimensions.
    pub(super) fn dims<const N: usize>(&self, index: usize) -> Result<[usize; N]> {
        let shape = self.shape(index)?;
        shape
            .try_into()
            .map_err(|_| self.fault(format!("{} has the shape {shape:?} instead of {N} dimensions", self.named(index))))
    }

    /// The type of the first input's elements.
    pub(super) fn dtype(&self) -> DType {
        self.maybe(0).map_or(DType::Float, |fact| fact.dtype)
    }

    /// An input for people.
    pub(super) fn named(&self, index: usize) -> String {
        match self.id(index) {
            Some(id) => format!("its input {:?}", self.graph.tensor(id).name),
            None => format!("its input {index}"),
        }
    }

    /// The elements of an input that decides the result's shape.
    pub(super) fn numbers(&self, index: usize) -> Result<Vec<f64>> {
        match self.input(index)?.value.as_deref() {
            Some(Value::Floats(values)) => Ok(values.clone()),
            Some(Value::Ints(values)) => Ok(values.iter().map(|&value| value as f64).collect()),
            None => Err(self.fault(format!(
                "{} decides the result's shape, and it does not follow from the file and the input's shape",
                self.named(index)
            ))),
        }
    }

    /// The same as whole numbers.
    pub(super) fn ints(&self, index: usize) -> Result<Vec<i64>> {
        if let Some(Value::Ints(values)) = self.input(index)?.value.as_deref() {
            return Ok(values.clone());
        }
        let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64);
        let values = self.numbers(index)?;
        values
            .iter()
            .map(|&value| whole(value))
            .collect::<Option<_>>()
            .ok_or_else(|| self.fault(format!("{} is {values:?}, which are not whole numbers", self.named(index))))
    }

    /// The same of an input that may be left out.
    pub(super) fn maybe_ints(&self, index: usize) -> Result<Option<Vec<i64>>> {
        self.id(index).map(|_| self.ints(index)).transpose()
    }

    /// The one whole number that an input consists of.
    pub(super) fn int(&self, index: usize) -> Result<i64> {
        match self.ints(index)?.as_slice() {
            [value] => Ok(*value),
            values => Err(self.fault(format!("{} is {values:?} instead of one number", self.named(index)))),
        }
    }

    /// An axis of `rank` dimensions; negative ones count from the end.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let counted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        counted
            .and_then(|axis| usize::try_from(axis).ok())
            .filter(|&axis| axis < rank)
            .ok_or_else(|| self.fault(format!("there is no axis {axis} of {rank} dimensions")))
    }

    /// Axes, each once.
    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        for &axis in axes {
            let axis = self.axis(axis, rank)?;
            if found.contains(&axis) {
                return Err(self.fault(format!("axis {axis} is named twice")));
            }
            found.push(axis);
        }
        Ok(found)
    }

    /// A number as a size.
    pub(super) fn size(&self, size: i64) -> Result<usize> {
        usize::try_from(size).map_err(|_| self.fault(format!("{size} is no size")))
    }

    /// The shape that tensors have in common when each is stretched along its dimensions of size 1.
    pub(super) fn broadcast(&self, shapes: &[&[usize]]) -> Result<Shape> {
        let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
        let mut common = vec![1; rank];
        for shape in shapes {
            for (have, &size) in common[rank - shape.len()..].iter_mut().zip(*shape) {
                match (*have, size) {
                    (1, _) => *have = size,
                    (_, 1) => {}
                    (a, b) if a == b => {}
                    _ => {
                        let shapes: Vec<String> = shapes.iter().map(|shape| format!("{shape:?}")).collect();
                        return Err(self.fault(format!("the shapes {} do not fit together", shapes.join(" and "))));
                    }
                }
            }
        }
        Ok(common)
    }
}
