use std::sync::Arc;

use candle_core::Tensor;
use detrace_flops::{Attrs, Kind, Op, Param, Shape};

use crate::Probe;

/// What a layer knows about one of its operations; [`Probe`] adds path, kind, role and time.
///
/// Facts are gathered while the model runs and its data fills the caches, so they are what is at hand; [`Op`]s with their
/// texts are made of them when the run is over.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    inputs: Vec<Shape>,
    output: Shape,
    params: Arc<[Param]>,
    attrs: Attrs,
    steps: Vec<Step>,
}

/// Whose operation it is and what it is: a module's own if `role` is empty, else its block's.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: Arc<str>,
    pub(crate) role: &'static str,
    pub(crate) kind: Kind,
}

impl Place {
    fn op(self, inputs: Vec<Shape>, output: Shape) -> Op {
        let Place { path, role, kind } = self;
        let path = if role.is_empty() { path.to_string() } else { format!("{path}#{role}") };
        Op::new(path, kind, role, inputs, output)
    }
}

/// What a kernel did besides its operation.
#[derive(Clone, Debug)]
struct Step {
    place: Place,
    inputs: Vec<Shape>,
    output: Shape,
}

impl Facts {
    /// Shapes of the data inputs, the one a hook would see first, and of the result.
    pub fn new(inputs: &[&Tensor], output: &Tensor) -> Facts {
        Facts::shapes(inputs.iter().map(|tensor| tensor.dims().to_vec()).collect(), output.dims().to_vec())
    }

    /// The shape of the input, where it is not that of a tensor at hand (a merged or computed one).
    pub fn shapes(inputs: Vec<Shape>, output: Shape) -> Facts {
        Facts { inputs, output, ..Facts::default() }
    }

    /// The parameters that the operation used.
    pub fn params(mut self, params: &Arc<[Param]>) -> Facts {
        self.params = Arc::clone(params);
        self
    }

    /// Stride, padding and the like.
    pub fn attrs(mut self, attrs: Attrs) -> Facts {
        self.attrs = attrs;
        self
    }

    /// Work that the same kernel did besides, as the module `probe` or, with a role, for that block: it stays visible as an
    /// operation of its own, without a time.
    pub fn step(mut self, probe: &Probe, kind: Kind, role: &'static str, inputs: Vec<Shape>, output: Shape) -> Facts {
        self.steps.push(Step { place: probe.place(role, kind), inputs, output });
        self
    }

    /// The operation at that place, and its steps.
    pub(crate) fn ops(self, place: Place) -> impl Iterator<Item = Op> {
        let Facts { inputs, output, params, attrs, steps } = self;
        let op = Op { params: params.to_vec(), attrs, ..place.op(inputs, output) };
        let whole = op.path.clone();
        let steps = steps.into_iter().map(move |Step { place, inputs, output }| Op {
            fused_into: Some(whole.clone()),
            ..place.op(inputs, output)
        });
        std::iter::once(op).chain(steps)
    }
}
