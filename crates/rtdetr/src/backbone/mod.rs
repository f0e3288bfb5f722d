//! Feature extractors: an image becomes feature maps of strides 8, 16 and 32.

mod hgnetv2;
mod resnet_vd;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use detrace_config as config;
use detrace_nn::Structure;

/// A feature extractor.
#[derive(Clone, Debug)]
pub(crate) enum Backbone {
    ResNetVd(Box<resnet_vd::ResNetVd>),
    HgNetV2(Box<hgnetv2::HgNetV2>),
}

impl Backbone {
    pub(crate) fn new(config: &config::Backbone, structure: Structure, vb: VarBuilder) -> Result<Backbone> {
        Ok(match config {
            config::Backbone::ResnetVd { depth, freeze_norm, return_idx } => {
                let net = resnet_vd::ResNetVd::new(*depth, *freeze_norm, return_idx, structure, vb)?;
                Backbone::ResNetVd(Box::new(net))
            }
            config::Backbone::HgNetV2 { arch, freeze_norm, return_idx } => {
                let net = hgnetv2::HgNetV2::new(*arch, *freeze_norm, return_idx, structure, vb)?;
                Backbone::HgNetV2(Box::new(net))
            }
        })
    }

    /// `image`: [N, 3, H, W]; result: one feature map per level, finest first.
    pub(crate) fn forward(&self, image: &Tensor) -> Result<Vec<Tensor>> {
        match self {
            Backbone::ResNetVd(net) => net.forward(image),
            Backbone::HgNetV2(net) => net.forward(image),
        }
    }
}

/// Runs `stages` one after the other and keeps the outputs of those that are feature levels.
fn levels<S>(
    stem: Tensor,
    stages: &[S],
    return_idx: &[usize],
    forward: impl Fn(&S, &Tensor) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let (mut x, mut levels) = (stem, Vec::new());
    for (index, stage) in stages.iter().enumerate() {
        x = forward(stage, &x)?;
        if return_idx.contains(&index) {
            levels.push(x.clone());
        }
    }
    Ok(levels)
}
