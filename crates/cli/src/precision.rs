//! What a network computes in: `--dtype`, `--tf32`, and `--check f32`, which measures what that costs.

use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};
use clap::ValueEnum;
use detrace_report::Agreement;
use detrace_rtdetr::{Forced, RtDetr};

use crate::agreement::agreement;

/// Number type, and whether it is checked.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct PrecisionArgs {
    /// Number type it computes in; f16 keeps f32 where f16 would overflow or lose what matters (docs/precision.md)
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) dtype: Dtype,
    /// Let a GPU round the factors of f32 products to TF32, which has 10 bits behind the point instead of 23
    #[arg(long)]
    pub(crate) tf32: bool,
    /// Also run in f32, and say how many of the 100 surest detections agree and how far logits and boxes are apart
    #[arg(long, value_enum, value_name = "f32")]
    check: Option<Reference>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    F32,
    F16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Reference {
    F32,
}

impl Dtype {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
        }
    }
}

impl From<Dtype> for DType {
    fn from(dtype: Dtype) -> DType {
        match dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
        }
    }
}

impl PrecisionArgs {
    /// Refuses what cannot be on that device, and switches TF32.
    pub(crate) fn settle(&self, device: &Device) -> Result<()> {
        if self.tf32 && self.dtype == Dtype::F16 {
            bail!(
                "--tf32 --dtype f16: what f16 leaves in f32 is there for its bits, and TF32 has f16's; leave one out"
            );
        }
        if self.tf32 && !device.is_cuda() {
            bail!("--tf32: only GPUs have TF32, and this runs on the CPU; leave it out or take --device cuda");
        }
        if self.check.is_some() && self.dtype == Dtype::F32 && !self.tf32 {
            bail!("--check f32: this already is f32, so there is nothing to compare; add --dtype f16 or --tf32");
        }
        allow_tf32(self.tf32);
        Ok(())
    }

    /// Whether a network in f32 is wanted besides.
    pub(crate) fn checks(&self) -> bool {
        self.check.is_some()
    }

    /// Runs both networks on an image; `exact` is the one in f32 and decides.
    pub(crate) fn compare(&self, network: &RtDetr, exact: &RtDetr, image: &Tensor) -> Result<Agreement> {
        allow_tf32(false);
        let reference = exact.stages(image, &Forced::default());
        allow_tf32(self.tf32);
        let reference = reference?;
        let forced = Forced::as_in(&reference, exact, image.device())?;
        Ok(agreement(&reference, &network.stages(image, &forced)?)?)
    }
}

#[cfg(feature = "cuda")]
fn allow_tf32(allowed: bool) {
    candle_core::cuda_backend::set_gemm_reduced_precision_f32(allowed);
}

#[cfg(not(feature = "cuda"))]
fn allow_tf32(_: bool) {}
