use candle_core::Tensor;
use detrace_flops::{Attrs, Kind, Op, Param, Shape};

use crate::Probe;

/// What a layer knows about one of its operations; [`Probe`](crate::Probe) adds path, kind, role and time.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub(crate) inputs: Vec<Shape>,
    pub(crate) output: Shape,
    pub(crate) params: Vec<Param>,
    pub(crate) attrs: Attrs,
    pub(crate) fused: Vec<Op>,
}

impl Facts {
    /// Shapes of the data inputs, the one a hook would see first, and of the result.
    pub fn new(inputs: &[&Tensor], output: &Tensor) -> Facts {
        Facts {
            inputs: inputs.iter().map(|tensor| tensor.dims().to_vec()).collect(),
            output: output.dims().to_vec(),
            ..Facts::default()
        }
    }

    /// The parameters that the operation used.
    pub fn params(mut self, params: &[Param]) -> Facts {
        self.params = params.to_vec();
        self
    }

    /// Stride, padding and the like.
    pub fn attrs(mut self, attrs: Attrs) -> Facts {
        self.attrs = attrs;
        self
    }

    /// The shape of the input, where it is not that of a tensor at hand (a merged or computed one).
    pub fn shapes(inputs: Vec<Shape>, output: Shape) -> Facts {
        Facts { inputs, output, ..Facts::default() }
    }

    /// Work that the same kernel did besides: it stays visible as an operation of its own, without a time.
    /// `path` is a module's dotted name, or with `role` the block's path, `#` and the role.
    pub fn fused(mut self, path: String, kind: Kind, role: &str, inputs: Vec<Shape>, output: Shape) -> Facts {
        self.fused.push(Op::new(path, kind, role, inputs, output));
        self
    }

    /// The same for what the block of `probe` does as that role.
    pub(crate) fn step(self, probe: &Probe, kind: Kind, role: &str, inputs: Vec<Shape>, output: Shape) -> Facts {
        self.fused(format!("{}#{role}", probe.path()), kind, role, inputs, output)
    }
}
