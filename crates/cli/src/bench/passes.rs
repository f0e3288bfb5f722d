use std::time::Instant;

use anyhow::Result;
use candle_core::{Device, Tensor};
use detrace_config::Preprocess;
use detrace_detect::{Detector, Labels, Preprocessor, postprocess};
use detrace_flops::Timing;
use detrace_nn::{Clock, Recorder};
use detrace_rtdetr::RtDetr;
use image::RgbImage;

use super::layers::Layers;

/// Width and height of the images that pre-processing is timed on: the most frequent size in COCO.
pub(super) const PHOTO: [u32; 2] = [640, 480];
/// The threshold that `detrace detect` has by default.
const THRESHOLD: f32 = Detector::THRESHOLD;

/// From decoded images to detections.
pub(super) struct Pipeline<'a> {
    network: &'a RtDetr,
    device: &'a Device,
    images: Vec<RgbImage>,
    preprocessor: Preprocessor,
    labels: Labels,
    timing: Timing,
}

/// One pass' times in seconds.
pub(super) struct Pass {
    pre: f64,
    pub(super) forward: f64,
    post: f64,
}

/// Passes' times in seconds.
pub(super) struct Passes {
    /// The first forward pass.
    pub(super) first: f64,
    pub(super) pre: Vec<f64>,
    pub(super) forward: Vec<f64>,
    pub(super) post: Vec<f64>,
    /// The layers of the forward passes, if they are wanted.
    pub(super) layers: Option<Layers>,
    /// Bytes of large blocks that stay when a pass is over.
    pub(super) weights: usize,
    /// Bytes of large blocks that the timed passes and those that warmed up had besides, at most.
    pub(super) maps: usize,
}

impl<'a> Pipeline<'a> {
    /// With random images, that become an input of shape N, 3, H, W. Layers are timed so.
    pub(super) fn new(
        network: &'a RtDetr,
        [batch, _, height, width]: [usize; 4],
        device: &'a Device,
        timing: Timing,
    ) -> Pipeline<'a> {
        let [w, h] = PHOTO;
        // Neighbouring pixels differ and no two images are alike.
        let pixel = |image: u32, x: u32, y: u32| {
            [0, 1, 2].map(|channel| (x * 7 + y * 13 + channel * 85 + image * 31 + (x * y) % 97) as u8)
        };
        let image = |image: usize| RgbImage::from_fn(w, h, |x, y| image::Rgb(pixel(image as u32, x, y)));
        let preprocess = Preprocess { size: [height, width], ..network.config().preprocess.clone() };
        Pipeline {
            network,
            device,
            images: (0..batch).map(image).collect(),
            preprocessor: Preprocessor::new(&preprocess),
            labels: Labels::of(network.config()),
            timing,
        }
    }

    /// The image batch.
    pub(super) fn input(&self) -> Result<Tensor> {
        Ok(self.preprocessor.tensor(&self.images, self.device)?)
    }

    /// Runs once. A recorder listens to the forward pass if there are layers to add to.
    pub(super) fn pass(&self, layers: Option<&mut Layers>) -> Result<Pass> {
        let (pre, input) = timed(|| self.input())?;
        let forward = || {
            timed(|| {
                let output = self.network.forward(&input)?;
                // A GPU computes after the call has come back.
                self.device.synchronize()?;
                Ok(output)
            })
        };
        let (forward, output) = match layers {
            None => forward()?,
            Some(layers) => {
                let recorder = Recorder::with_clock(Clock::new(self.timing, self.device)?);
                let timed = recorder.record(forward)?;
                layers.add(&recorder.take()?, timed.0);
                timed
            }
        };
        let sizes: Vec<(u32, u32)> = self.images.iter().map(RgbImage::dimensions).collect();
        let (post, _) = timed(|| Ok(postprocess(&output, &sizes, THRESHOLD, &self.labels)?))?;
        Ok(Pass { pre, forward, post })
    }
}

impl Passes {
    /// No timed pass yet.
    pub(super) fn new(first: f64, detail: bool) -> Passes {
        let (pre, forward, post) = (Vec::new(), Vec::new(), Vec::new());
        Passes { first, pre, forward, post, layers: detail.then(Layers::default), weights: 0, maps: 0 }
    }

    pub(super) fn add(&mut self, Pass { pre, forward, post }: Pass) {
        self.pre.push(pre);
        self.forward.push(forward);
        self.post.push(post);
    }
}

/// Seconds that something takes, and what it gives.
fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let start = Instant::now();
    let made = run()?;
    Ok((start.elapsed().as_secs_f64(), made))
}
