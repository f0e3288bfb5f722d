use candle_core::{Result, Tensor};
use detrace_flops::{Shape, Structure};

use crate::Probe;
use crate::engine::is_ours;
use crate::ops::joined;

/// A feature map in one tensor, or in several of one size whose channels follow on each other.
#[derive(Clone, Debug)]
pub struct Maps(Vec<Tensor>);

impl From<&Tensor> for Maps {
    fn from(map: &Tensor) -> Maps {
        Maps(vec![map.clone()])
    }
}

impl Maps {
    /// [N, C, H, W], with the channels of all.
    pub(crate) fn shape(&self) -> Shape {
        let mut shape = self.0[0].dims().to_vec();
        shape[1] = self.0.iter().map(|map| map.dims()[1]).sum();
        shape
    }

    pub(crate) fn parts(&self) -> &[Tensor] {
        &self.0
    }

    pub(crate) fn are_ours(&self) -> bool {
        self.0.iter().all(is_ours)
    }

    /// As one tensor.
    pub(crate) fn whole(&self) -> Result<Tensor> {
        match &self.0[..] {
            [map] => Ok(map.clone()),
            maps => joined(&maps.iter().collect::<Vec<_>>(), 1),
        }
    }
}

impl Probe {
    /// Maps [N, Cᵢ, H, W] side by side for a convolution: concatenated as the operation `role`, or in the structure `fast`
    /// left where they are.
    pub fn side_by_side(&self, role: &'static str, maps: &[&Tensor], structure: Structure) -> Result<Maps> {
        match structure {
            Structure::Train | Structure::Deploy => Ok(Maps::from(&self.concat(role, maps, 1)?)),
            Structure::Fast => {
                let size = |map: &Tensor| map.dims4().map(|(batch, _, height, width)| (batch, height, width));
                let first = size(maps[0])?;
                for map in maps {
                    if size(map)? != first {
                        candle_core::bail!(
                            "{}: maps {:?} and {:?} do not fit",
                            self.path(),
                            maps[0].dims(),
                            map.dims()
                        );
                    }
                }
                Ok(Maps(maps.iter().map(|map| (*map).clone()).collect()))
            }
        }
    }
}
