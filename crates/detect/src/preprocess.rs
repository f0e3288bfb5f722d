use candle_core::{Device, Result, Tensor, bail};
use detrace_config::{Preprocess, Resize};
use image::RgbImage;
use rayon::prelude::*;

use crate::stretch;

/// Makes the network's input of images.
#[derive(Clone, Debug)]
pub struct Preprocessor {
    size: [usize; 2],
    resize: Resize,
    /// What each value of a byte becomes, for each channel.
    values: Box<[[f32; 256]; 3]>,
}

impl Preprocessor {
    /// As a model's configuration says.
    pub fn new(preprocess: &Preprocess) -> Preprocessor {
        let Preprocess { size, resize, scale, mean, std } = preprocess;
        let value = |channel: usize, byte: usize| ((byte as f64 * scale - mean[channel]) / std[channel]) as f32;
        let values = Box::new([0, 1, 2].map(|channel| std::array::from_fn(|byte| value(channel, byte))));
        Preprocessor { size: *size, resize: *resize, values }
    }

    /// Height and width that images are stretched to.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The images as a tensor [N, 3, H, W] of f32: stretched, scaled, normalised. They may differ in size.
    ///
    /// # Errors
    /// If there are no images, or one without pixels.
    pub fn tensor(&self, images: &[RgbImage], device: &Device) -> Result<Tensor> {
        if images.is_empty() || images.iter().any(|image| image.as_raw().is_empty()) {
            bail!("an image without pixels, or no image");
        }
        let [height, width] = self.size;
        let mut values = vec![0.0; images.len() * 3 * height * width];
        values.par_chunks_exact_mut(3 * height * width).zip(images).for_each(|(out, image)| {
            let stretched = stretch(image, self.size, self.resize);
            for (channel, plane) in out.chunks_exact_mut(height * width).enumerate() {
                let table = &self.values[channel];
                let bytes = stretched.as_raw().iter().skip(channel).step_by(3);
                for (value, &byte) in plane.iter_mut().zip(bytes) {
                    *value = table[usize::from(byte)];
                }
            }
        });
        Tensor::from_vec(values, (images.len(), 3, height, width), device)
    }
}
