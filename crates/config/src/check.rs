//! Contradictions in a configuration, and sizes that a network cannot take.

use crate::{Backbone, Config, ConfigError, Preprocess};

/// Largest stride of a network with the usual four stages.
pub const MAX_STRIDE: usize = 32;

/// Upper bounds far above any published network; they keep a typing error from asking for all memory.
mod limit {
    pub(super) const WIDTH: usize = 16_384;
    pub(super) const LAYERS: usize = 64;
    pub(super) const CLASSES: usize = 100_000;
    pub(super) const QUERIES: usize = 100_000;
    pub(super) const POINTS: usize = 64;
}

impl Config {
    /// Checks that every key is in range and none contradicts another.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |key: &'static str, fault: String| Err(ConfigError::Value { model: self.name.clone(), key, fault });
        let range = |key: &'static str, value: usize, largest: usize| {
            if (1..=largest).contains(&value) {
                Ok(())
            } else {
                fail(key, format!("{value} is not within 1 to {largest}"))
            }
        };
        if self.name.trim().is_empty() {
            return fail("name", "it is empty".into());
        }
        range("classes", self.classes, limit::CLASSES)?;

        if let Backbone::ResnetVd { depth, .. } = self.backbone
            && Backbone::resnet_blocks(depth).is_none()
        {
            return fail("backbone.depth", format!("{depth} is not one of 18, 34, 50, 101"));
        }
        let levels = self.backbone.return_idx();
        let consecutive = levels.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(1));
        if levels.is_empty() || !consecutive || levels.last().is_some_and(|&last| last > 3) {
            return fail(
                "backbone.return_idx",
                format!("{levels:?} is not a run of consecutive stages out of 0, 1, 2, 3"),
            );
        }

        let encoder = &self.encoder;
        range("encoder.hidden_dim", encoder.hidden_dim, limit::WIDTH)?;
        range("encoder.heads", encoder.heads, encoder.hidden_dim)?;
        range("encoder.dim_feedforward", encoder.dim_feedforward, limit::WIDTH)?;
        if encoder.layers > limit::LAYERS {
            return fail("encoder.layers", format!("{} is more than {}", encoder.layers, limit::LAYERS));
        }
        if !encoder.hidden_dim.is_multiple_of(encoder.heads) {
            return fail(
                "encoder.heads",
                format!("{} does not divide hidden_dim {}", encoder.heads, encoder.hidden_dim),
            );
        }
        if !encoder.hidden_dim.is_multiple_of(4) {
            let fault = format!("{} is not a multiple of 4, as the positional embedding asks", encoder.hidden_dim);
            return fail("encoder.hidden_dim", fault);
        }
        let mut used = encoder.use_encoder_idx.clone();
        used.sort_unstable();
        used.dedup();
        if used.len() != encoder.use_encoder_idx.len() || used.last().is_some_and(|&last| last >= levels.len()) {
            let fault =
                format!("{:?} are not different levels out of 0 to {}", encoder.use_encoder_idx, levels.len() - 1);
            return fail("encoder.use_encoder_idx", fault);
        }
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !(positive(encoder.expansion) && encoder.expansion <= 16.0 && encoder.csp_channels() > 0) {
            let fault = format!("{} gives a CSP block {} channels", encoder.expansion, encoder.csp_channels());
            return fail("encoder.expansion", fault);
        }
        if !(encoder.depth_mult.is_finite() && encoder.depth_mult >= 0.0 && encoder.csp_blocks() <= limit::LAYERS) {
            return fail(
                "encoder.depth_mult",
                format!("{} is not within 0 to {}", encoder.depth_mult, limit::LAYERS / 3),
            );
        }
        if !positive(encoder.pe_temperature) {
            return fail("encoder.pe_temperature", format!("{} is not positive", encoder.pe_temperature));
        }

        let decoder = &self.decoder;
        range("decoder.hidden_dim", decoder.hidden_dim, limit::WIDTH)?;
        range("decoder.heads", decoder.heads, decoder.hidden_dim)?;
        range("decoder.dim_feedforward", decoder.dim_feedforward, limit::WIDTH)?;
        range("decoder.queries", decoder.queries, limit::QUERIES)?;
        range("decoder.layers", decoder.layers, limit::LAYERS)?;
        range("decoder.levels", decoder.levels, 8)?;
        if !decoder.hidden_dim.is_multiple_of(decoder.heads) {
            return fail(
                "decoder.heads",
                format!("{} does not divide hidden_dim {}", decoder.heads, decoder.hidden_dim),
            );
        }
        if !(-(decoder.layers as i64)..decoder.layers as i64).contains(&decoder.eval_idx) {
            return fail(
                "decoder.eval_idx",
                format!("{} is not one of the {} layers", decoder.eval_idx, decoder.layers),
            );
        }
        if decoder.levels < levels.len() {
            let fault = format!("{} levels are fewer than the backbone's {}", decoder.levels, levels.len());
            return fail("decoder.levels", fault);
        }
        if decoder.points.len() != decoder.levels {
            let fault =
                format!("{:?} does not have one entry for each of the {} levels", decoder.points, decoder.levels);
            return fail("decoder.points", fault);
        }
        for &points in &decoder.points {
            range("decoder.points", points, limit::POINTS)?;
        }
        if !positive(decoder.offset_scale) {
            return fail("decoder.offset_scale", format!("{} is not positive", decoder.offset_scale));
        }
        if !self.labels.is_empty() && self.labels.len() != self.classes {
            return fail("labels", format!("{} names for {} classes", self.labels.len(), self.classes));
        }
        let Preprocess { scale, mean, std, .. } = &self.preprocess;
        if std.iter().chain([scale]).any(|&value| !positive(value)) || mean.iter().any(|mean| !mean.is_finite()) {
            return fail(
                "preprocess",
                format!("scale {scale}, mean {mean:?}, std {std:?}; scale and std must be positive, mean finite"),
            );
        }
        ImageSize::check(self, &[1, 3, self.preprocess.size[0], self.preprocess.size[1]]).map(|_| ())
    }
}

/// An input that a network can take: N images of 3 × height × width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// Images.
    pub batch: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
}

impl ImageSize {
    /// Checks a shape N, C, H, W against a network.
    pub fn check(config: &Config, shape: &[usize]) -> Result<ImageSize, ConfigError> {
        let written = shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let fail = |fault: String| Err(ConfigError::Input { shape: written.clone(), fault });
        let &[batch, channels, height, width] = shape else {
            return fail("an input has four numbers, NxCxHxW, for instance 1x3x640x640".into());
        };
        if shape.contains(&0) {
            return fail("no dimension may be 0; for instance 1x3x640x640".into());
        }
        if channels != 3 {
            return fail(format!("the network reads RGB images, so C is 3, not {channels}"));
        }
        let stride = config.backbone.strides().last().copied().unwrap_or(MAX_STRIDE).max(MAX_STRIDE);
        if !height.is_multiple_of(stride) || !width.is_multiple_of(stride) {
            let near = |size: usize| size.saturating_add(stride / 2).max(stride) / stride * stride;
            let fault = format!(
                "height and width must be multiples of {stride}; the nearest is {batch}x3x{}x{}",
                near(height),
                near(width)
            );
            return fail(fault);
        }
        let size = ImageSize { batch, height, width };
        let Some(tokens) = size.tokens(config) else {
            return fail("its dimensions multiply to more than any memory holds".into());
        };
        if tokens < config.decoder.queries as u64 {
            return fail(format!(
                "it has {tokens} anchors, fewer than the {} queries that are selected from them; take a larger image",
                config.decoder.queries
            ));
        }
        Ok(size)
    }

    /// Height and width of every level the decoder reads.
    pub fn levels(&self, config: &Config) -> Vec<(usize, usize)> {
        let mut levels: Vec<(usize, usize)> =
            config.backbone.strides().iter().map(|&stride| (self.height / stride, self.width / stride)).collect();
        while levels.len() < config.decoder.levels {
            let (height, width) = levels.last().copied().unwrap_or((1, 1));
            levels.push((height.div_ceil(2), width.div_ceil(2)));
        }
        levels
    }

    /// Anchors over all levels of one image, or `None` if the whole input cannot exist.
    pub fn tokens(&self, config: &Config) -> Option<u64> {
        let pixels = (self.height as u64).checked_mul(self.width as u64)?;
        pixels.checked_mul(self.batch as u64)?.checked_mul(1 << 20)?;
        Some(self.levels(config).iter().map(|&(height, width)| height as u64 * width as u64).sum())
    }
}
