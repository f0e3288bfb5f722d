//! Detections as text.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use detrace_detect::{Detection, Detector, Labels};
use detrace_report::Agreement;
use serde::Serialize;

use super::files::image_id;
use crate::precision::PrecisionArgs;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    /// COCO's results format: boxes as x, y, width, height, COCO's category ids
    Coco,
    Csv,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    model: String,
    structure: &'static str,
    dtype: &'static str,
    tf32: bool,
    threshold: f32,
    /// How far the network is from f32, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<Agreement>,
    pub(crate) images: Vec<Found>,
    /// Files that could not be read.
    pub(crate) failed: Vec<Failed>,
}

/// What was found in an image.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    file: PathBuf,
    width: u32,
    height: u32,
    detections: Vec<Object>,
}

#[derive(Debug, Serialize)]
struct Object {
    label: String,
    class: usize,
    score: f32,
    /// x0, y0, x1, y1 in pixels.
    #[serde(rename = "box")]
    bbox: [f32; 4],
}

/// A file that could not be read.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    pub(crate) file: String,
    pub(crate) reason: String,
}

impl Found {
    pub(crate) fn new(file: &Path, (width, height): (u32, u32), detections: Vec<Detection>) -> Found {
        let object = |Detection { class, label, score, bbox }| Object { label, class, score, bbox };
        Found { file: file.to_owned(), width, height, detections: detections.into_iter().map(object).collect() }
    }
}

impl Report {
    pub(crate) fn new(detector: &Detector, precision: PrecisionArgs, threshold: f32) -> Report {
        Report {
            schema: detrace_flops::SCHEMA,
            model: detector.config().name.clone(),
            structure: detector.network().structure().name(),
            dtype: precision.dtype.name(),
            tf32: precision.tf32,
            threshold,
            check: None,
            images: Vec::new(),
            failed: Vec::new(),
        }
    }

    pub(crate) fn text(&self, format: Format, labels: &Labels) -> Result<String> {
        match format {
            Format::Table => Ok(self.table()),
            Format::Json => Ok(serde_json::to_string_pretty(self)? + "\n"),
            Format::Coco => self.coco(labels),
            Format::Csv => self.csv(),
        }
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(["image", "label", "score", "x0", "y0", "x1", "y1"]);
        for Found { file, detections, .. } in &self.images {
            let file = file.display().to_string();
            if detections.is_empty() {
                table.add_row([&file, "nothing"]);
            }
            for Object { label, score, bbox, .. } in detections {
                let numbers = bbox.map(|side| format!("{side:.1}"));
                table.add_row([&[file.clone(), label.clone(), format!("{score:.3}")][..], &numbers].concat());
            }
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let found: usize = self.images.iter().map(|image| image.detections.len()).sum();
        let (images, threshold) = (self.images.len(), self.threshold);
        format!("{table}\n{found} detections with a score over {threshold} in {images} images; x0 to y1 in pixels\n")
    }

    fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["file", "width", "height", "label", "class", "score", "x0", "y0", "x1", "y1"])?;
        for Found { file, width, height, detections } in &self.images {
            for Object { label, class, score, bbox } in detections {
                writer.serialize((file.display().to_string(), width, height, label, class, score, bbox))?;
            }
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }

    fn coco(&self, labels: &Labels) -> Result<String> {
        let results = self.images.iter().flat_map(|found| {
            found.detections.iter().map(|object| Coco {
                image_id: image_id(&found.file),
                category_id: labels.category_id(object.class),
                bbox: {
                    let [x0, y0, x1, y1] = object.bbox;
                    [x0, y0, x1 - x0, y1 - y0]
                },
                score: object.score,
            })
        });
        Ok(serde_json::to_string(&results.collect::<Vec<_>>())? + "\n")
    }
}

/// An entry of COCO's results format.
#[derive(Serialize)]
struct Coco {
    image_id: serde_json::Value,
    category_id: usize,
    bbox: [f32; 4],
    score: f32,
}
