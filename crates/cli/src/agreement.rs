//! How far two runs of a network are apart.

use std::collections::HashSet;

use candle_core::{DType, Device, Result, Tensor, bail};
use detrace_report::Agreement;
use detrace_rtdetr::Stages;

/// Detections that are compared in each image.
const TOP: usize = 100;

/// Compares `other`, which was forced to decide as `reference` did.
///
/// # Errors
/// If the shapes differ or a number is not finite.
pub(crate) fn agreement(reference: &Stages, other: &Stages) -> Result<Agreement> {
    let logits = [rows(&reference.output.logits)?, rows(&other.output.logits)?];
    let boxes = [rows(&reference.output.boxes)?, rows(&other.output.boxes)?];
    let scores = rows(&other.selection.scores)?;
    let selected = reference.selection.indices.to_vec2::<u32>()?;
    let tops = logits[0].iter().zip(&logits[1]).map(|(a, b)| share(&best(a, TOP), &best(b, TOP)));
    let chosen = selected.iter().zip(&scores).map(|(reference, scores)| {
        let reference: HashSet<usize> = reference.iter().map(|&token| token as usize).collect();
        share(&reference, &best(scores, reference.len()))
    });
    let images = logits[0].len();
    let mean = |sum: f64| sum / images.max(1) as f64;
    Ok(Agreement {
        images,
        top100: mean(tops.sum()),
        selected: mean(chosen.sum()),
        logits: apart(&logits)?,
        boxes: apart(&boxes)?,
    })
}

/// Each image's numbers.
fn rows(tensor: &Tensor) -> Result<Vec<Vec<f32>>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2()
}

/// Places of the largest numbers.
fn best(row: &[f32], count: usize) -> HashSet<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    order.into_iter().take(count).collect()
}

fn share(of: &HashSet<usize>, among: &HashSet<usize>) -> f64 {
    of.intersection(among).count() as f64 / of.len().max(1) as f64
}

fn apart([a, b]: &[Vec<Vec<f32>>; 2]) -> Result<f32> {
    let (a, b) = (a.concat(), b.concat());
    if a.len() != b.len() || a.is_empty() {
        bail!("{} numbers cannot be compared with {}", a.len(), b.len());
    }
    let mut most = 0.0_f32;
    for (a, b) in a.iter().zip(&b) {
        if !a.is_finite() || !b.is_finite() {
            bail!("a network gave a number that is not finite");
        }
        most = most.max((a - b).abs());
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_shared_and_the_farthest_counts() {
        let row = |values: &[f32]| best(values, 2);
        assert_eq!(share(&row(&[3.0, 1.0, 2.0]), &row(&[3.0, 2.5, 2.0])), 0.5);
        assert_eq!(share(&row(&[3.0, 1.0, 2.0]), &row(&[2.0, 0.0, 9.0])), 1.0);
        let one = |values: &[f32]| vec![values.to_vec()];
        assert_eq!(apart(&[one(&[1.0, -2.0]), one(&[1.5, -4.0])]).expect("numbers"), 2.0);
        assert!(apart(&[one(&[1.0, f32::NAN]), one(&[1.5, -4.0])]).is_err());
        assert!(apart(&[one(&[1.0]), one(&[1.5, -4.0])]).is_err());
    }
}
