//! What an operation is, before it has a name.

use detrace_flops::{Attrs, Kind, Param, ParamRole, Shape};

use super::view::View;
use crate::import::ir::TensorId;

/// An operation without a path: of the network, or of the program.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) role: &'static str,
    pub(super) inputs: Vec<Shape>,
    pub(super) output: Shape,
    /// Parameters as the operation sees them, and the tensors that hold them.
    pub(super) params: Vec<(Param, TensorId)>,
    pub(super) attrs: Attrs,
}

impl Facts {
    pub(super) fn new(kind: Kind, inputs: Vec<Shape>, output: &[usize]) -> Facts {
        let output = output.to_vec();
        Facts { kind, role: "", inputs, output, params: Vec::new(), attrs: Attrs::default() }
    }

    /// Whether a bias is among the parameters.
    pub(super) fn has_bias(&self) -> bool {
        self.params.iter().any(|(param, _)| param.role == ParamRole::Bias)
    }

    /// With a parameter by the name that PyTorch gives it.
    pub(super) fn param(mut self, name: &str, shape: &[usize], tensor: TensorId) -> Facts {
        self.params.push((Param::named(name, shape), tensor));
        self
    }

    /// With a parameter of one dimension, if there is one.
    pub(super) fn vector(self, view: &View<'_>, name: &str, tensor: Option<TensorId>) -> Facts {
        match tensor.filter(|&tensor| view.is_constant(tensor)) {
            Some(tensor) => self.param(name, &[view.shape(tensor).iter().product()], tensor),
            None => self,
        }
    }
}

/// Several operations of a program that are one of the network.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) facts: Facts,
    /// Indices of the nodes.
    pub(super) parts: Vec<usize>,
}
