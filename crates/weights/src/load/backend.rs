//! Candle's side of a checkpoint: a builder of tensors that reads each one when a layer asks for it.

use candle_core::{DType, Device, Error, Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;

use super::Weights;
use crate::seeded_values;

/// The seed of tensors that a partial checkpoint does not give.
const SEED: u64 = 0;

struct Backend(Weights);

impl Weights {
    /// A builder of tensors from this checkpoint, in f32. A tensor is read when a layer asks for it and copied once, so
    /// that loading takes the network's memory and the file's pages, which are given back with the builder.
    ///
    /// What a partial load [left random](super::Report::left_random) is seeded (seed 0); idle tensors that the file does
    /// not have are zeros.
    pub fn var_builder(self, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(Backend(self)), DType::F32, device.clone())
    }
}

impl Backend {
    fn is_random(&self, name: &str) -> bool {
        self.0.report.left_random().any(|left| left == name)
    }

    fn is_idle(&self, name: &str) -> bool {
        self.0.report.idle.iter().any(|idle| idle == name)
    }
}

impl SimpleBackend for Backend {
    fn get(&self, shape: Shape, name: &str, _: candle_nn::Init, dtype: DType, device: &Device) -> Result<Tensor> {
        if self.0.contains(name) {
            let tensor = self.get_unchecked(name, dtype, device)?;
            if tensor.shape() != &shape {
                bail!("tensor {name} is {:?} in the checkpoint and {:?} in the network", tensor.dims(), shape.dims());
            }
            Ok(tensor)
        } else if self.is_random(name) {
            Tensor::from_vec(seeded_values(name, shape.dims(), SEED), shape, device)?.to_dtype(dtype)
        } else if self.is_idle(name) {
            Tensor::zeros(shape, dtype, device)
        } else {
            bail!("the network asks for tensor {name}, which the checkpoint was not checked for")
        }
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.0.tensor(name).map_err(Error::wrap)?;
        Tensor::from_vec(tensor.to_f32(), tensor.shape, device)?.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains(name) || self.is_random(name) || self.is_idle(name)
    }
}
