//! Loading a checkpoint into a model: every tensor has its place and every place its tensor, or the load is refused.

mod backend;
mod plan;
mod report;

use std::borrow::Cow;
use std::collections::BTreeMap;

use detrace_config::Needed;
pub use plan::DENOISING;
use plan::Recipe;
pub use report::{Change, Classes, Given, Misfit, Report, SetAside};

use crate::sources::Layout;
use crate::{Checkpoint, Dtype, Scheme, WeightsError};

/// A checkpoint's tensors under their canonical names and in their canonical form. They are read one at a time, when
/// they are asked for.
#[derive(Debug)]
pub struct Weights {
    checkpoint: Checkpoint,
    recipes: BTreeMap<String, Recipe>,
    report: Report,
}

/// A tensor: row-major, little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor<'a> {
    /// Type of the elements, as in the file.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: Cow<'a, [u8]>,
}

impl Tensor<'_> {
    /// The elements as `f32`.
    pub fn to_f32(&self) -> Vec<f32> {
        self.dtype.to_f32(&self.bytes)
    }
}

impl Weights {
    /// The weights of a model that needs exactly these canonical tensors. Missing, unexpected and misshapen tensors
    /// refuse the load, unless `allow_partial`: then the report says which tensors the model does not get. Idle ones may
    /// be absent. Constants (anchors, counters) and the denoising embedding need not be listed.
    pub fn load(checkpoint: Checkpoint, needed: &[Needed], allow_partial: bool) -> Result<Weights, WeightsError> {
        Weights::new(checkpoint, Some(needed), allow_partial)
    }

    /// All of a checkpoint's tensors, of whatever model it is. Tensors that no RT-DETR has refuse this, unless
    /// `allow_partial`.
    pub fn all(checkpoint: Checkpoint, allow_partial: bool) -> Result<Weights, WeightsError> {
        Weights::new(checkpoint, None, allow_partial)
    }

    fn new(checkpoint: Checkpoint, needed: Option<&[Needed]>, allow_partial: bool) -> Result<Weights, WeightsError> {
        let (recipes, report) = plan::plan(&checkpoint, needed)?;
        if !report.fits() && !allow_partial {
            return Err(WeightsError::Refused { path: checkpoint.path().to_owned(), report: Box::new(report) });
        }
        Ok(Weights { checkpoint, recipes, report })
    }

    /// What came from where, and what did not fit.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The file.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The file, to be loaded in another way.
    pub fn into_checkpoint(self) -> Checkpoint {
        self.checkpoint
    }

    /// Whose names the file uses.
    pub fn scheme(&self) -> Scheme {
        self.report.scheme
    }

    /// Number of classes, if the file has the heads that say.
    pub fn classes(&self) -> Option<usize> {
        self.shape("decoder.dec_score_head.0.bias")?.first().copied()
    }

    /// Canonical names of the tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.recipes.keys().map(String::as_str)
    }

    /// Whether there is a tensor of that canonical name.
    pub fn contains(&self, name: &str) -> bool {
        self.recipes.contains_key(name)
    }

    /// Sizes of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.recipes.get(name).map(|recipe| recipe.shape.as_slice())
    }

    /// Type of a tensor's elements.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.recipes.get(name).map(|recipe| recipe.dtype)
    }

    /// Reads a tensor. It is borrowed from the file where it lies in it in canonical form.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>, WeightsError> {
        let path = || self.checkpoint.path().to_owned();
        let recipe =
            self.recipes.get(name).ok_or_else(|| WeightsError::NoTensor { path: path(), name: name.to_owned() })?;
        let bytes = match (recipe.change, recipe.from.as_slice()) {
            (Change::None, [only]) => self.checkpoint.bytes(only)?,
            (Change::Transposed, [only]) => transpose(self.checkpoint.bytes(only)?, recipe),
            (_, parts) => {
                let mut bytes = Vec::with_capacity(recipe.bytes());
                for part in parts {
                    bytes.extend_from_slice(&self.checkpoint.bytes(part)?);
                }
                bytes.resize(recipe.bytes(), 0);
                Cow::Owned(bytes)
            }
        };
        if bytes.len() != recipe.bytes() {
            let fault = format!("tensor {name:?} has {} bytes instead of {}", bytes.len(), recipe.bytes());
            return Err(WeightsError::Damaged { path: path(), fault });
        }
        Ok(Tensor { dtype: recipe.dtype, shape: recipe.shape.clone(), bytes })
    }
}

impl Recipe {
    /// Bytes of the tensor. They lie in the file but for a row or the embedding of zeros, so this does not overflow.
    fn bytes(&self) -> usize {
        self.shape.iter().fold(self.dtype.size(), |product, size| product.saturating_mul(*size))
    }
}

/// The transpose of a matrix that has the recipe's shape afterwards.
fn transpose<'a>(bytes: Cow<'a, [u8]>, recipe: &Recipe) -> Cow<'a, [u8]> {
    let strides = vec![1, recipe.shape.first().copied().unwrap_or(1)];
    let layout = Layout { dtype: recipe.dtype, shape: recipe.shape.clone(), strides, offset: 0, swap: false };
    layout.gather(bytes).unwrap_or_default()
}
