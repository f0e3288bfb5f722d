use candle_core::{Result, bail};
use detrace_kernels::top_k;
use detrace_rtdetr::Output;

use crate::Labels;

/// An object found in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Its class, counted from 0.
    pub class: usize,
    /// The class's name.
    pub label: String,
    /// How sure the network is, 0 to 1.
    pub score: f32,
    /// x0, y0, x1, y1 in pixels of the image. Boxes are not clipped, so one can reach a little beyond the border.
    pub bbox: [f32; 4],
}

/// What the network says about a batch, as the official post-processor reads it: the sigmoid of each class logit of each
/// query is a score, and the best of them, as many as there are queries, are the detections, best first. One query can
/// be there with two classes; no boxes are suppressed. Those over `threshold` are kept. `sizes` are width and height of the
/// images in pixels.
///
/// # Errors
/// If the sizes are not as many as the images, or a number is not finite.
pub fn postprocess(
    output: &Output,
    sizes: &[(u32, u32)],
    threshold: f32,
    labels: &Labels,
) -> Result<Vec<Vec<Detection>>> {
    let (logits, boxes) = (output.logits.to_vec3::<f32>()?, output.boxes.to_vec3::<f32>()?);
    if logits.len() != sizes.len() || boxes.len() != sizes.len() {
        bail!("{} images have {} sizes", logits.len(), sizes.len());
    }
    let images = logits.iter().zip(&boxes).zip(sizes);
    images.map(|((logits, boxes), &size)| one(logits, boxes, size, threshold, labels)).collect()
}

fn one(
    logits: &[Vec<f32>],
    boxes: &[Vec<f32>],
    size: (u32, u32),
    threshold: f32,
    labels: &Labels,
) -> Result<Vec<Detection>> {
    let flat = logits.concat();
    if flat.iter().chain(boxes.iter().flatten()).any(|value| !value.is_finite()) {
        bail!("the network gave a number that is not finite; its weights are not those of this model, or damaged");
    }
    let classes = flat.len() / logits.len().max(1);
    let best = top_k(&flat, logits.len().min(flat.len()));
    let detections = best.into_iter().filter_map(|index| {
        let (query, class) = (index as usize / classes, index as usize % classes);
        let score = 1.0 / (1.0 + (-flat[index as usize]).exp());
        let bbox = corners(boxes.get(query)?, size)?;
        (score > threshold).then(|| Detection { class, label: labels.name(class), score, bbox })
    });
    Ok(detections.collect())
}

/// x0, y0, x1, y1 in pixels of cx, cy, w, h relative to the image.
fn corners(bbox: &[f32], (width, height): (u32, u32)) -> Option<[f32; 4]> {
    let &[x, y, w, h] = bbox else { return None };
    let (width, height) = (width as f32, height as f32);
    Some([(x - 0.5 * w) * width, (y - 0.5 * h) * height, (x + 0.5 * w) * width, (y + 0.5 * h) * height])
}
