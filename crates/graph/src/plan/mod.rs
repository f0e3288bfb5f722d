//! The network on paper, one file for each part of the paper's figure 4.

mod decoder;
mod encoder;
mod fusion;
mod hgnetv2;
mod layers;
mod resnet_vd;
mod selection;
mod sheet;

use detrace_config::{Backbone, Config, ConfigError, ImageSize};
use detrace_flops::{Meta, Structure, Timing, Trace, TraceError};

use sheet::{Map, Sheet};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The configuration contradicts itself, or the network cannot take an input of that size.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network is so large that its work cannot be counted exactly.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// Lists every operation of one forward pass on an input of N, C, H, W, in the order in which they run, and the
/// parameters and modules that the network owns, in the order in which it makes them. Times are 0.
///
/// # Errors
/// If the configuration contradicts itself, the network cannot take that input, or a product of dimensions is over what
/// can be counted exactly.
pub fn plan(config: &Config, structure: Structure, input: [usize; 4]) -> Result<Trace, PlanError> {
    config.check()?;
    ImageSize::check(config, &input)?;
    let mut sheet = Sheet::new(structure);
    let features = backbone(&mut sheet, &config.backbone, input);
    let fused = encoder::encoder(&mut sheet, &config.encoder, &features);
    decoder::transformer(&mut sheet, config, &fused);
    let trace = sheet.into_trace(Meta {
        model: config.name.clone(),
        version: config.version.name().to_owned(),
        framework: String::new(),
        structure: structure.name().to_owned(),
        input: input.to_vec(),
        device: "none".to_owned(),
        dtype: "f32".to_owned(),
        threads: 0,
        timing: Timing::None,
        source: "plan".to_owned(),
        seed: None,
        detrace: env!("CARGO_PKG_VERSION").to_owned(),
        candle: String::new(),
    });
    trace.check()?;
    Ok(trace)
}

/// The feature maps of the stages that the configuration names, finest first.
fn backbone(sheet: &mut Sheet, config: &Backbone, image: Map) -> Vec<Map> {
    let stages = match config {
        Backbone::ResnetVd { depth, freeze_norm, .. } => resnet_vd::stages(sheet, *depth, *freeze_norm, image),
        Backbone::HgNetV2 { arch, freeze_norm, .. } => hgnetv2::stages(sheet, *arch, *freeze_norm, image),
    };
    config.return_idx().iter().map(|&stage| stages[stage]).collect()
}
