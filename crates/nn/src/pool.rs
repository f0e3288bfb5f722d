use candle_core::{Result, Tensor, bail};
use detrace_flops::{Attrs, Kind};
use detrace_kernels::{Plane, Window, avg_pool2d, max_pool2d};

use crate::engine::{channels_first, channels_last, is_planar, with_slice};
use crate::planar::{self, Pool};
use crate::{Facts, Probe};

/// What shapes a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Height and width of the window.
    pub kernel: usize,
    /// Step.
    pub stride: usize,
    /// Padding: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Whether a last window that is only partly inside counts.
    pub ceil: bool,
}

impl PoolConfig {
    fn window(&self) -> Window {
        Window { kernel: [self.kernel; 2], stride: [self.stride; 2], padding: self.padding, ceil: self.ceil }
    }

    fn facts(&self, x: &Tensor, y: &Tensor) -> Facts {
        Facts::new(&[x], y).attrs(Attrs {
            kernel: Some([self.kernel; 2]),
            stride: Some([self.stride; 2]),
            padding: Some(self.padding),
            ..Attrs::default()
        })
    }
}

/// Maximum over each window; padding never wins.
#[derive(Clone, Debug)]
pub struct MaxPool2d {
    config: PoolConfig,
    probe: Probe,
    role: Option<&'static str>,
}

impl MaxPool2d {
    /// The pool that is the module `path`.
    pub fn module(config: PoolConfig, path: String) -> MaxPool2d {
        MaxPool2d { config, probe: Probe::module(path), role: None }
    }

    /// A pool that the block `path` does by itself.
    pub fn role(config: PoolConfig, path: String, role: &'static str) -> MaxPool2d {
        MaxPool2d { config, probe: Probe::new(path), role: Some(role) }
    }

    /// `x`: [N, C, H, W]; result: [N, C, H′, W′].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let run = || self.config.run(x, Pool::Max);
        let facts = |y: &Tensor| self.config.facts(x, y);
        match self.role {
            Some(role) => self.probe.role(role, Kind::MaxPool2d, run, facts),
            None => self.probe.op(Kind::MaxPool2d, run, facts),
        }
    }
}

/// Mean over the part of each window that lies inside.
#[derive(Clone, Debug)]
pub struct AvgPool2d {
    config: PoolConfig,
    probe: Probe,
}

impl AvgPool2d {
    /// The pool that is the module `path`.
    pub fn module(config: PoolConfig, path: String) -> AvgPool2d {
        AvgPool2d { config, probe: Probe::module(path) }
    }

    /// `x`: [N, C, H, W]; result: [N, C, H′, W′].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let run = || self.config.run(x, Pool::Mean);
        self.probe.op(Kind::AvgPool2d, run, |y| self.config.facts(x, y))
    }
}

impl PoolConfig {
    fn run(&self, x: &Tensor, pool: Pool) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let Some((out_height, out_width)) = self.window().output(height, width) else {
            bail!("a {0}x{0} window does not fit an image of {height}x{width}", self.kernel);
        };
        if is_planar(x) {
            return planar::pool(x, self.window(), pool);
        }
        let pool = match pool {
            Pool::Max => max_pool2d,
            Pool::Mean => avg_pool2d,
        };
        let plane = Plane { batch, channels, height, width };
        let y = with_slice(&channels_last(x)?, |x| Ok(pool(x, plane, self.window())))?;
        channels_first(&Tensor::from_vec(y, (batch, out_height, out_width, channels), x.device())?)
    }
}
