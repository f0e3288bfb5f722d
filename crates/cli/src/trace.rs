//! A forward pass with a recorder listening.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use detrace_config::{Config, ConfigError, ImageSize};
use detrace_flops::{Meta, Structure, Trace};
use detrace_report::by_x;
use detrace_rtdetr::RtDetr;
use detrace_weights::{Seeded, seeded_image};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::bench::gpu_memory::free;
use crate::device::{Choice, TimingChoice};
use crate::{VERSIONS, watched};

/// Bytes that a forward pass may hold at its peak per input pixel. Peak resident size less the weights came to 260 B (R18),
/// 330 B (R50, HGNetv2-L) and 670 B (HGNetv2-H) a pixel for `detrace flops MODEL --input 1x3x1280x1280`.
const BYTES_PER_PIXEL: u64 = 1024;

/// What a forward pass runs on.
pub(crate) enum Input {
    /// A random image batch N, 3, H, W.
    Random([usize; 4]),
    /// A real one.
    Real(Tensor),
}

/// Builds the model with seeded weights, runs it, and gives the facts.
pub(crate) fn trace(
    config: &Config,
    input: Input,
    seed: u64,
    structure: Structure,
    (device, timing): (Choice, Option<TimingChoice>),
) -> Result<Trace> {
    let shape = match &input {
        Input::Random(shape) => shape,
        Input::Real(image) => image.dims(),
    };
    let device = device.open()?;
    check(config, shape, &device)?;
    let timing = TimingChoice::on(timing, &device)?;
    let bar = Progress::new();
    let vb = Seeded::var_builder(seed, &device, bar.made_weights(&config.name));
    let model = RtDetr::new(config, structure, vb)?;
    let image = match input {
        Input::Random(shape) => seeded_image(&shape, seed, &device)?,
        Input::Real(image) => image.to_device(&device)?,
    };
    bar.say(format!("running {} on {}", config.name, by_x(image.dims())));
    let meta = Meta {
        model: config.name.clone(),
        version: config.version.name().to_owned(),
        structure: structure.name().to_owned(),
        seed: Some(seed),
        timing,
        detrace: VERSIONS.detrace.to_owned(),
        candle: VERSIONS.candle.to_owned(),
        ..Meta::default()
    };
    let trace = detrace_nn::trace(&model, &image, meta)?;
    bar.end();
    Ok(trace)
}

/// What a model gets where nothing else is asked for.
pub(crate) const DEFAULT_INPUT: [usize; 4] = [1, 3, 640, 640];

/// Reads a shape as `1x3x640x640`.
pub(crate) fn parse_shape(text: &str) -> Result<[usize; 4]> {
    let parts: Option<Vec<usize>> = text.split(['x', 'X', '×']).map(|part| part.trim().parse().ok()).collect();
    match parts.map(<[usize; 4]>::try_from) {
        Some(Ok(shape)) => Ok(shape),
        _ => {
            let fault = "an input is four whole numbers, NxCxHxW, for instance 1x3x640x640".to_owned();
            Err(ConfigError::Input { shape: text.to_owned(), fault }.into())
        }
    }
}

/// Refuses an input that the network cannot take or that would not fit into the memory of the device, before anything is
/// allocated.
pub(crate) fn check(config: &Config, shape: &[usize], device: &Device) -> Result<ImageSize> {
    let size = ImageSize::check(config, shape)?;
    let (available, whose) = match free(device) {
        Some(free) => (free, "of the GPU"),
        None => (available(), "of memory"),
    };
    fits(config, size, shape, available, whose)?;
    Ok(size)
}

/// Bytes of memory that are free; 0 where the system does not tell.
fn available() -> u64 {
    sysinfo::System::new().map_or(0, |mut system| {
        system.refresh_memory();
        system.available_memory()
    })
}

/// Refuses what needs more than is available; where the system does not tell, the allocator will.
fn fits(config: &Config, size: ImageSize, shape: &[usize], available: u64, whose: &str) -> Result<()> {
    let pixels = size.batch as u128 * size.height as u128 * size.width as u128;
    let stride = config.backbone.strides().last().copied().unwrap_or(32) as u128;
    let tokens = (size.height as u128 / stride) * (size.width as u128 / stride);
    // Attention within a scale holds scores and their softmax for every pair of tokens.
    let attention = size.batch as u128 * config.encoder.heads as u128 * tokens * tokens * 4 * 3;
    let needed = pixels * u128::from(BYTES_PER_PIXEL) + attention;
    if available > 0 && needed > u128::from(available) {
        bail!(
            "input {} needs about {} MiB, and {} MiB {whose} are free; take a smaller batch or image",
            by_x(shape),
            needed >> 20,
            available >> 20
        );
    }
    Ok(())
}

/// One line on a terminal while work is going on, and nothing elsewhere.
struct Progress(ProgressBar);

impl Progress {
    fn new() -> Progress {
        if !watched() {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(bar)
    }

    fn say(&self, message: String) {
        self.0.set_message(message);
    }

    fn made_weights(&self, model: &str) -> impl Fn(usize) + Send + Sync + 'static {
        let (bar, model, made) = (self.0.clone(), model.to_owned(), Arc::new(AtomicU64::new(0)));
        move |count| {
            let made = made.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
            bar.set_message(format!("making weights of {model}: {}", HumanCount(made)));
        }
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_whose_memory_it_is() {
        let config = Config::load("rtdetr_r18vd").expect("a variant");
        let shape = [8, 3, 640, 640];
        let size = ImageSize::check(&config, &shape).expect("fits the network");
        // 3200 MiB of maps, and the attention.
        let refused = fits(&config, size, &shape, 3200 << 20, "of the GPU").expect_err("too large").to_string();
        assert!(refused.contains("8x3x640x640") && refused.contains("3200 MiB of the GPU are free"), "{refused}");
        assert!(fits(&config, size, &shape, 3400 << 20, "of the GPU").is_ok());
        assert!(fits(&config, size, &shape, 0, "of memory").is_ok());
    }
}
