//! Safetensors files, as Hugging Face writes them.

use std::collections::BTreeMap;

use ::safetensors::{Dtype as Stored, SafeTensorError, SafeTensors};

use super::dtype::{Dtype, Layout};
use super::pickle::value::Span;
use crate::error::{Checked, Fault};

/// Bytes of the header. A thousand tensors take a hundred thousand.
const LARGEST_HEADER: u64 = 4 << 20;

/// Whether a file starts like a safetensors file: the header's length, and its first brace.
pub(super) fn starts_like(bytes: &[u8]) -> bool {
    bytes.first_chunk::<8>().is_some_and(|length| u64::from_le_bytes(*length) < 1 << 40) && bytes.get(8) == Some(&b'{')
}

/// A file's header.
pub(super) struct Header {
    /// Every tensor with its layout and where in the file it is.
    pub(super) tensors: Vec<(String, Layout, Span)>,
    /// What its writer says about it.
    pub(super) metadata: BTreeMap<String, String>,
}

/// Reads and checks the header.
pub(super) fn read(bytes: &[u8]) -> Checked<Header> {
    let length = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
    if length > LARGEST_HEADER {
        return Err(Fault::new(format!("its header is said to have {length} bytes; {LARGEST_HEADER} are the most")));
    }
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| Fault::new(explain(&error)))?;
    let start = header + 8;
    let mut tensors = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let dtype = dtype(info.dtype).ok_or_else(|| {
            Fault::new(format!("tensor {name:?} is of type {:?}, which is none of those that are read", info.dtype))
        })?;
        let span = Span { start: start + info.data_offsets.0, end: start + info.data_offsets.1 };
        tensors.push((name, Layout::contiguous(dtype, info.shape.clone()), span));
    }
    let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Header { tensors, metadata })
}

fn explain(error: &SafeTensorError) -> String {
    match error {
        SafeTensorError::InvalidOffset(name) => {
            format!("tensor {name:?} overlaps another one, or there is a gap before it")
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            "the tensors that the header lists do not fill the file exactly; it is cut short or damaged".to_owned()
        }
        SafeTensorError::InvalidHeaderLength => "the header is longer than the file; it is cut short".to_owned(),
        other => format!("the safetensors header is damaged: {other}"),
    }
}

fn dtype(stored: Stored) -> Option<Dtype> {
    Some(match stored {
        Stored::BOOL => Dtype::Bool,
        Stored::U8 => Dtype::U8,
        Stored::I8 => Dtype::I8,
        Stored::I16 => Dtype::I16,
        Stored::I32 => Dtype::I32,
        Stored::I64 => Dtype::I64,
        Stored::F16 => Dtype::F16,
        Stored::BF16 => Dtype::BF16,
        Stored::F32 => Dtype::F32,
        Stored::F64 => Dtype::F64,
        _ => return None,
    })
}
