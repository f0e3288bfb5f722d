use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// How far a run of a network is from a reference whose decisions it was forced to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Images compared.
    pub images: usize,
    /// Share of the reference's 100 surest pairs of query and class in each image that are among the other's 100 surest.
    pub top100: f64,
    /// Share of the reference's selected tokens that the other would have selected by its own scores.
    pub selected: f64,
    /// Largest difference of class logits.
    pub logits: f32,
    /// Largest difference of boxes, relative to the image.
    pub boxes: f32,
}

impl Agreement {
    /// Of this one's images and another's together.
    #[must_use]
    pub fn and(&self, other: &Agreement) -> Agreement {
        let images = self.images + other.images;
        let mean = |a: f64, b: f64| (a * self.images as f64 + b * other.images as f64) / images.max(1) as f64;
        Agreement {
            images,
            top100: mean(self.top100, other.top100),
            selected: mean(self.selected, other.selected),
            logits: self.logits.max(other.logits),
            boxes: self.boxes.max(other.boxes),
        }
    }
}

impl Display for Agreement {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Agreement { images, top100, selected, logits, boxes } = self;
        write!(
            out,
            "{:.1} % of the 100 surest detections agree and {:.1} % of the selected tokens, logits differ by at most \
             {logits:.1e}, boxes by {boxes:.1e} of the image ({images} images)",
            100.0 * top100,
            100.0 * selected
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_weighed_and_the_farthest_counts() {
        let a = Agreement { images: 1, top100: 1.0, selected: 0.5, logits: 0.1, boxes: 0.4 };
        let b = Agreement { images: 3, top100: 0.6, selected: 0.9, logits: 0.2, boxes: 0.3 };
        let both = a.and(&b);
        assert_eq!((both.images, both.logits, both.boxes), (4, 0.2, 0.4));
        assert!((both.top100 - 0.7).abs() < 1e-12 && (both.selected - 0.8).abs() < 1e-12);
    }
}
