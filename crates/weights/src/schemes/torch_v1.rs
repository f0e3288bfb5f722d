//! Names in the official RT-DETR code for PyTorch, first version (`rtdetr_pytorch`).

use super::table::{Row, Table};

pub(super) const TABLE: Table = Table {
    rows: &[
        Row("encoder.input_proj.{n}.conv", &["encoder.input_proj.{n}.0"]),
        Row("encoder.input_proj.{n}.norm", &["encoder.input_proj.{n}.1"]),
        Row("decoder.enc_output.proj", &["decoder.enc_output.0"]),
        Row("decoder.enc_output.norm", &["decoder.enc_output.1"]),
        Row("backbone", &["backbone"]),
        Row("encoder", &["encoder"]),
        Row("decoder", &["decoder"]),
    ],
    leaves: &[],
};
