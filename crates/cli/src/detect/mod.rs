//! `detrace detect`: objects in images.

mod files;
mod show;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use detrace_config::Loaded;
use detrace_detect::{Detector, Labels, ModelFiles, RgbImage, draw, open_image};
use detrace_rtdetr::RtDetr;
use image::ImageFormat;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use crate::bench::bar;
use crate::network::{NetworkArgs, keep_maps_of};
use crate::trace::check;
use crate::{emit, report, writable, write_whole};
use show::{Failed, Format, Found, Report};

/// Quality of JPEG files that are drawn, of 100.
const QUALITY: u8 = 92;

#[derive(Debug, clap::Args)]
pub(crate) struct DetectArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Images (PNG, JPEG), or folders of them
    #[arg(required = true, value_name = "IMAGE|DIR")]
    images: Vec<PathBuf>,
    /// The checkpoint: .safetensors, .pth (official code) or .pdparams (Paddle) [default: the one in the folder MODEL]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Show detections with a higher score than this
    #[arg(long, value_name = "0..1", default_value_t = Detector::THRESHOLD, value_parser = threshold)]
    threshold: f32,
    /// Write each image with its boxes drawn into this folder, under its own name
    #[arg(long, value_name = "DIR")]
    draw: Option<PathBuf>,
    /// How to show the detections
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Names of the classes, one on each line [default: the configuration's; COCO's for 80 classes]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Images that go through the network together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Write to a file instead of standard output, whole or not at all
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn threshold(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a score is a number from 0 to 1".to_owned()),
    }
}

/// `detrace detect`.
pub(crate) fn run(args: &DetectArgs) -> Result<ExitCode> {
    if let Some(path) = &args.output {
        writable(path)?;
    }
    let paths = files::expand(&args.images)?;
    if args.format == Format::Coco {
        files::distinct_ids(&paths)?;
    }
    if let Some(folder) = &args.draw {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot write into {}", folder.display()))?;
        files::distinct_names(&paths, folder)?;
    }
    let (detector, exact) = args.detector()?;
    let mut report = Report::new(&detector, args.network.precision, args.threshold);
    args.detect(&detector, exact.as_ref(), &paths, &mut report)?;
    if let Some(check) = &report.check {
        crate::report(&format!("against f32: {check}"));
    }
    emit(&report.text(args.format, detector.labels())?, args.output.as_deref())?;
    if report.failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("{} of {} images could not be read; the results are of the others", report.failed.len(), paths.len())
}

impl DetectArgs {
    /// The detector, and the network in f32 if it is to be compared with.
    fn detector(&self) -> Result<(Detector, Option<RtDetr>)> {
        let ModelFiles { loaded: Loaded { config, .. }, weights } = self.network.files()?;
        let device = self.network.device()?;
        let Some(weights) = self.weights.clone().or(weights) else {
            let model = &self.network.model;
            bail!("detections need trained weights: give --weights FILE, or a folder with {model}'s files as MODEL");
        };
        let [height, width] = config.preprocess.size;
        let input = [usize::try_from(self.batch)?, 3, height, width];
        check(&config, &input, &device)?;
        keep_maps_of(input);
        let labels = match &self.labels {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                Labels::from_text(&text, config.classes)
                    .map_err(|fault| anyhow::anyhow!("{}: {fault}", path.display()))?
            }
            None => Labels::of(&config),
        };
        let network = self.network.load(&config, &weights, &device)?;
        let exact = self.network.exact(&config, Some(&weights), &device)?;
        Ok((Detector::new(network, device).with_threshold(self.threshold).with_labels(labels), exact))
    }

    /// Reads, runs and draws batch by batch. A file that cannot be read is told and set aside.
    fn detect(&self, detector: &Detector, exact: Option<&RtDetr>, paths: &[PathBuf], to: &mut Report) -> Result<()> {
        let bar = bar(paths.len());
        for batch in paths.chunks(usize::try_from(self.batch)?) {
            let read: Vec<_> = batch.par_iter().map(open_image).collect();
            let (mut names, mut images) = (Vec::new(), Vec::new());
            for (path, image) in batch.iter().zip(read) {
                match image {
                    Ok(image) => {
                        names.push(path);
                        images.push(image);
                    }
                    Err(error) => {
                        bar.suspend(|| report(&format!("warning: {error}")));
                        to.failed.push(Failed { file: path.display().to_string(), reason: error.to_string() });
                    }
                }
            }
            if !images.is_empty() {
                let found = detector.detect_batch(&images)?;
                if let Some(exact) = exact {
                    let image = detector.input(&images)?;
                    let batch = self.network.precision.compare(detector.network(), exact, &image)?;
                    to.check = Some(to.check.as_ref().map_or(batch.clone(), |check| check.and(&batch)));
                }
                for ((path, mut image), detections) in names.into_iter().zip(images).zip(found) {
                    if let Some(folder) = &self.draw {
                        draw(&mut image, &detections)?;
                        save(&image, &folder.join(files::drawn_name(path)))?;
                    }
                    to.images.push(Found::new(path, image.dimensions(), detections));
                }
            }
            bar.inc(batch.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// Writes an image in the format that its name says, PNG or JPEG.
fn save(image: &RgbImage, path: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    if files::is_jpeg(path) {
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
    } else {
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
    }
    write_whole(&bytes, path)
}
