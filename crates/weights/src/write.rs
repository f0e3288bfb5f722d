//! Writing safetensors files, whole or not at all.

use std::borrow::Cow;
use std::collections::BTreeMap;
#[cfg(unix)]
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{Dtype, WeightsError};

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the file.
    pub name: String,
    /// Type of the elements.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

impl Entry {
    pub(crate) fn bytes(&self) -> usize {
        self.shape.iter().fold(self.dtype.size(), |product, size| product.saturating_mul(*size))
    }
}

/// Writes a safetensors file. It appears whole or not at all: it is written beside its place and then renamed. The same
/// contents give the same bytes.
///
/// `bytes` gives the elements of one entry, row-major and little-endian. It is asked for one entry at a time: large
/// elements first, so that every tensor is aligned, then by name.
///
/// # Errors
/// If the file cannot be written, or `bytes` fails or gives another number of bytes than the entry takes.
pub fn write_safetensors<'a>(
    path: &Path,
    mut entries: Vec<Entry>,
    metadata: &BTreeMap<&str, String>,
    bytes: impl Fn(&Entry) -> Result<Cow<'a, [u8]>, WeightsError>,
) -> Result<(), WeightsError> {
    let fault = |reason: String| WeightsError::Write { path: path.to_owned(), reason };
    let failed = |error: io::Error| fault(error.to_string());
    entries.sort_by(|a, b| b.dtype.size().cmp(&a.dtype.size()).then_with(|| a.name.cmp(&b.name)));
    let header = header(&entries, metadata);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = new_file(folder).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file_mut());
    let length = u64::try_from(header.len()).map_err(|error| fault(error.to_string()))?;
    out.write_all(&length.to_le_bytes()).and_then(|()| out.write_all(&header)).map_err(failed)?;
    for entry in &entries {
        let bytes = bytes(entry)?;
        if bytes.len() != entry.bytes() {
            return Err(fault(format!("tensor {:?} has {} bytes, not {}", entry.name, bytes.len(), entry.bytes())));
        }
        out.write_all(&bytes).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    drop(out);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The header, padded with spaces to a multiple of eight bytes.
fn header(entries: &[Entry], metadata: &BTreeMap<&str, String>) -> Vec<u8> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut at = 0_usize;
    for entry in entries {
        let end = at + entry.bytes();
        let place = json!({"dtype": entry.dtype.name(), "shape": entry.shape, "data_offsets": [at, end]});
        header.insert(entry.name.clone(), place);
        at = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}

/// A new file in a folder, which the system's usual rights are given to.
fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".detrace-").suffix(".safetensors");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
