use std::sync::Arc;

use candle_core::Tensor;
use detrace_flops::{Attrs, Kind, Op, Param};

use crate::Probe;

/// What a layer knows about one of its operations; [`Probe`] adds path, kind, role and time.
///
/// Facts are gathered between operations that fill the caches with data, so they are what is at hand, written in order;
/// [`Op`]s with their texts are made of them when the run is over.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub(crate) own: Own,
    pub(crate) steps: Vec<Step>,
    /// Of the operation, then of each step: its inputs and its result.
    pub(crate) shapes: Shapes,
}

/// Facts of the operation itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    inputs: usize,
    params: Arc<[Param]>,
    attrs: Attrs,
}

/// Whose operation it is and what it is: a module's own if `role` is empty, else its block's.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: Arc<str>,
    pub(crate) role: &'static str,
    pub(crate) kind: Kind,
}

/// What a kernel did besides its operation.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    place: Place,
    inputs: usize,
}

impl Facts {
    /// Shapes of the data inputs, the one a hook would see first, and of the result.
    pub fn new(inputs: &[&Tensor], output: &Tensor) -> Facts {
        let mut facts = Facts::default();
        facts.own.inputs = facts.shapes.push_all(inputs.iter().map(|tensor| tensor.dims()), output.dims());
        facts
    }

    /// The shapes, where they are not those of tensors at hand (but of merged or computed ones).
    pub fn shapes(inputs: &[&[usize]], output: &[usize]) -> Facts {
        let mut facts = Facts::default();
        facts.own.inputs = facts.shapes.push_all(inputs.iter().copied(), output);
        facts
    }

    /// The parameters that the operation used.
    pub fn params(mut self, params: &Arc<[Param]>) -> Facts {
        self.own.params = Arc::clone(params);
        self
    }

    /// Stride, padding and the like.
    pub fn attrs(mut self, attrs: Attrs) -> Facts {
        self.own.attrs = attrs;
        self
    }

    /// Work that the same kernel did besides, as the module `probe` or, with a role, for that block: it stays visible as an
    /// operation of its own, without a time.
    pub fn step(
        mut self,
        probe: &Probe,
        kind: Kind,
        role: &'static str,
        inputs: &[&[usize]],
        output: &[usize],
    ) -> Facts {
        let inputs = self.shapes.push_all(inputs.iter().copied(), output);
        self.steps.push(Step { place: probe.place(role, kind), inputs });
        self
    }
}

impl Own {
    /// The operation at that place; its shapes are the next of `shapes`.
    pub(crate) fn op<'a>(self, place: Place, shapes: &mut impl Iterator<Item = &'a [usize]>) -> Op {
        let Own { inputs, params, attrs } = self;
        Op { params: params.to_vec(), attrs, ..place.op(inputs, shapes) }
    }
}

impl Step {
    /// The operation that this step of `whole` is; its shapes are the next of `shapes`.
    pub(crate) fn op<'a>(self, whole: &str, shapes: &mut impl Iterator<Item = &'a [usize]>) -> Op {
        Op { fused_into: Some(whole.to_owned()), ..self.place.op(self.inputs, shapes) }
    }
}

impl Place {
    fn op<'a>(self, inputs: usize, shapes: &mut impl Iterator<Item = &'a [usize]>) -> Op {
        let Place { path, role, kind } = self;
        let path = if role.is_empty() { path.to_string() } else { format!("{path}#{role}") };
        let inputs = shapes.by_ref().take(inputs).map(<[usize]>::to_vec).collect();
        Op::new(path, kind, role, inputs, shapes.next().unwrap_or_default().to_vec())
    }
}

/// Shapes one after another, each as its rank and its dimensions.
#[derive(Clone, Debug)]
pub(crate) struct Shapes(Vec<usize>);

impl Default for Shapes {
    /// With room for an operation of nine maps, which few have. Growing costs most of the time that facts take.
    fn default() -> Shapes {
        Shapes(Vec::with_capacity(9 * 5))
    }
}

impl Shapes {
    /// Appends those of an operation, and says how many inputs there were.
    fn push_all<'a>(&mut self, inputs: impl Iterator<Item = &'a [usize]>, output: &[usize]) -> usize {
        let mut push = |shape: &[usize]| {
            self.0.push(shape.len());
            self.0.extend_from_slice(shape);
        };
        let count = inputs.map(&mut push).count();
        push(output);
        count
    }

    /// An empty one with room for as much.
    pub(crate) fn room(&self) -> Shapes {
        Shapes(Vec::with_capacity(self.0.len()))
    }

    pub(crate) fn append(&mut self, others: &Shapes) {
        self.0.extend_from_slice(&others.0);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[usize]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (&rank, behind) = rest.split_first()?;
            let (shape, behind) = behind.split_at(rank);
            rest = behind;
            Some(shape)
        })
    }
}
