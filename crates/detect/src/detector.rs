use std::path::Path;

use candle_core::{Device, Tensor};
use detrace_config::Config;
use detrace_nn::Structure;
use detrace_rtdetr::RtDetr;
use detrace_weights::{Checkpoint, Weights};
use image::RgbImage;

use crate::{DetectError, Detection, Labels, ModelFiles, Preprocessor, postprocess};

/// A network with what goes before and after it.
#[derive(Clone, Debug)]
pub struct Detector {
    network: RtDetr,
    preprocessor: Preprocessor,
    labels: Labels,
    device: Device,
    threshold: f32,
}

impl Detector {
    /// The least score of a detection, unless another is set.
    pub const THRESHOLD: f32 = 0.5;

    /// A detector from a folder as the Hugging Face hub has them: `config.json`, `preprocessor_config.json`,
    /// `model.safetensors`. A YAML in place of the configuration and any other checkpoint will do as well; see
    /// [`ModelFiles::in_dir`]. It runs on the CPU, with norms folded and branches merged.
    ///
    /// # Errors
    /// If a file is missing or cannot be used, or the checkpoint does not fit the configuration exactly.
    pub fn from_dir(path: impl AsRef<Path>) -> Result<Detector, DetectError> {
        let files = ModelFiles::in_dir(path.as_ref())?;
        let checkpoint = Checkpoint::open(files.weights.unwrap_or_default())?;
        let weights = Weights::load(checkpoint, &RtDetr::needed(&files.loaded.config)?, false)?;
        let network = RtDetr::new(&files.loaded.config, Structure::Fast, weights.var_builder(&Device::Cpu))?;
        Ok(Detector::new(network, Device::Cpu))
    }

    /// A detector around a network, with the preprocessing and the labels of its configuration. `device` is where the
    /// network's tensors are.
    pub fn new(network: RtDetr, device: Device) -> Detector {
        let preprocessor = Preprocessor::new(&network.config().preprocess);
        let labels = Labels::of(network.config());
        Detector { network, preprocessor, labels, device, threshold: Detector::THRESHOLD }
    }

    /// The same with another least score: detections have a higher one.
    pub fn with_threshold(self, threshold: f32) -> Detector {
        Detector { threshold, ..self }
    }

    /// The same with other names of the classes.
    pub fn with_labels(self, labels: Labels) -> Detector {
        Detector { labels, ..self }
    }

    /// The objects in an image, surest first. [`open_image`](crate::open_image) reads one.
    ///
    /// # Errors
    /// If the image has no pixels, or the network gives numbers that are not finite.
    pub fn detect(&self, image: &RgbImage) -> Result<Vec<Detection>, DetectError> {
        Ok(self.detect_batch(std::slice::from_ref(image))?.pop().unwrap_or_default())
    }

    /// The objects in each of some images, which go through the network together. They may differ in size.
    ///
    /// # Errors
    /// If there is no image; and as [`detect`](Detector::detect).
    pub fn detect_batch(&self, images: &[RgbImage]) -> Result<Vec<Vec<Detection>>, DetectError> {
        let input = self.input(images)?;
        let output = self.network.forward(&input)?;
        let sizes: Vec<(u32, u32)> = images.iter().map(RgbImage::dimensions).collect();
        Ok(postprocess(&output, &sizes, self.threshold, &self.labels)?)
    }

    /// What the network gets of some images, on its device.
    ///
    /// # Errors
    /// If there is no image, or one has no pixels.
    pub fn input(&self, images: &[RgbImage]) -> Result<Tensor, DetectError> {
        Ok(self.preprocessor.tensor(images, &self.device)?)
    }

    /// The names of the classes.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// What is done to images.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// The network.
    pub fn network(&self) -> &RtDetr {
        &self.network
    }

    /// The network's configuration.
    pub fn config(&self) -> &Config {
        self.network.config()
    }
}
