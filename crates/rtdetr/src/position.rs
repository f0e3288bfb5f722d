//! Sine positional embedding of the hybrid encoder (original: `build_2d_sincos_position_embedding`).

use candle_core::{Device, Result, Tensor};
use detrace_flops::Kind;
use detrace_nn::{Facts, Probe};

/// Embedding of every position of a `height` × `width` map, [1, H·W, dim].
///
/// The order of positions is the original's: it lays its grid out with the width first (`meshgrid(w, h, indexing='ij')`),
/// while tokens are flattened row by row. On a square map that only exchanges the two axes' meaning; on others it is what
/// the weights were never trained on, but what the official code computes.
pub(crate) fn sine_embedding(
    probe: &Probe,
    (height, width): (usize, usize),
    dim: usize,
    temperature: f64,
    device: &Device,
) -> Result<Tensor> {
    probe.role(
        "pos_embed",
        Kind::Embedding,
        || {
            let quarter = dim / 4;
            // f32 like the original, so that large angles round as its do.
            let omega: Vec<f32> =
                (0..quarter).map(|i| 1.0 / (temperature as f32).powf(i as f32 / quarter as f32)).collect();
            let mut values = Vec::with_capacity(height * width * dim);
            for column in 0..width {
                for row in 0..height {
                    let angles = |at: usize| omega.iter().map(move |omega| at as f32 * omega);
                    values.extend(angles(column).map(f32::sin));
                    values.extend(angles(column).map(f32::cos));
                    values.extend(angles(row).map(f32::sin));
                    values.extend(angles(row).map(f32::cos));
                }
            }
            Tensor::from_vec(values, (1, height * width, dim), device)
        },
        |embedding| Facts::new(&[], embedding),
    )
}
