//! Anchor boxes of query selection (original: `RTDETRTransformerv2._generate_anchors`).

use candle_core::{Device, Result, Tensor};
use detrace_flops::Kind;
use detrace_nn::{Facts, Probe};

/// Anchors closer than this to the image's border are not selected from.
const EPS: f32 = 1e-2;
/// Side of an anchor on the finest level, relative to the image; it doubles on each next level.
const GRID_SIZE: f32 = 0.05;

/// One anchor per token of all levels, before the sigmoid, and which of them are valid.
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    /// cx, cy, w, h as logits, [1, L, 4]; infinite where not valid.
    pub(crate) logits: Tensor,
    /// 1 where valid, else 0, [1, L, 1].
    pub(crate) valid: Tensor,
}

impl Anchors {
    /// Centres divide (x, y) by (width, height), also on maps that are not square.
    pub(crate) fn new(probe: &Probe, levels: &[(usize, usize)], device: &Device) -> Result<Anchors> {
        let mut valid = Vec::new();
        let logits = probe.role(
            "anchors",
            Kind::Embedding,
            || {
                let mut logits = Vec::new();
                for (level, &(height, width)) in levels.iter().enumerate() {
                    let side = GRID_SIZE * 2f32.powi(level as i32);
                    for row in 0..height {
                        for column in 0..width {
                            let x = (column as f32 + 0.5) / width as f32;
                            let y = (row as f32 + 0.5) / height as f32;
                            let anchor = [x, y, side, side];
                            let inside = anchor.iter().all(|&value| value > EPS && value < 1.0 - EPS);
                            valid.push(f32::from(inside));
                            logits.extend(
                                anchor.map(|value| if inside { (value / (1.0 - value)).ln() } else { f32::INFINITY }),
                            );
                        }
                    }
                }
                let tokens = logits.len() / 4;
                Tensor::from_vec(logits, (1, tokens, 4), device)
            },
            |anchors| Facts::new(&[], anchors),
        )?;
        let tokens = valid.len();
        Ok(Anchors { logits, valid: Tensor::from_vec(valid, (1, tokens, 1), device)? })
    }
}
