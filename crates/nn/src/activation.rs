use candle_core::{Result, Tensor};
use detrace_flops::Kind;
use detrace_kernels::Act;

use crate::engine::on_map;
use crate::{Facts, Probe};

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// x · sigmoid(x)
    Silu,
    /// x · Φ(x), the exact form with erf
    Gelu,
}

impl Activation {
    /// The kind it is recorded as.
    pub fn kind(self) -> Kind {
        match self {
            Activation::Relu => Kind::Relu,
            Activation::Silu => Kind::Silu,
            Activation::Gelu => Kind::Gelu,
        }
    }

    /// Applies it without recording.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        on_map(x, |x| match self {
            Activation::Relu => x.relu(),
            Activation::Silu => x.silu(),
            Activation::Gelu => x.gelu_erf(),
        })
    }

    /// The same as the last step of our kernels.
    pub(crate) fn act(self) -> Act {
        match self {
            Activation::Relu => Act::Relu,
            Activation::Silu => Act::Silu,
            Activation::Gelu => Act::Gelu,
        }
    }

    /// Applies it as the module that `probe` names.
    pub fn forward(self, probe: &Probe, x: &Tensor) -> Result<Tensor> {
        probe.op(self.kind(), || self.apply(x), |y| Facts::new(&[x], y))
    }
}
