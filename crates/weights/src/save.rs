//! Writing a checkpoint as safetensors.

use std::borrow::Cow;
use std::collections::BTreeMap;
#[cfg(unix)]
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::schemes::How;
use crate::{Dtype, Scheme, Weights, WeightsError};

/// A tensor to be written: a canonical tensor, or one of its three parts.
struct Written {
    name: String,
    canonical: String,
    how: How,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: usize,
}

impl Weights {
    /// Writes all tensors to a safetensors file under a scheme's names. The file appears whole or not at all: it is
    /// written beside its place and then renamed. The metadata says the source's format, scheme and SHA-256, `model`,
    /// and `format: pt`, which transformers asks for.
    ///
    /// Constants (anchors, `num_batches_tracked` and the like) are not written: models make them again. Paddle's scheme
    /// is refused, as nothing reads it from safetensors.
    pub fn save(&self, path: impl AsRef<Path>, scheme: Scheme, model: &str) -> Result<(), WeightsError> {
        let path = path.as_ref();
        let fault = |reason: String| WeightsError::Write { path: path.to_owned(), reason };
        let failed = |error: io::Error| fault(error.to_string());
        if scheme == Scheme::Paddle {
            return Err(fault(
                "Paddle reads no safetensors of its own names; choose canonical, torch v1 or hf".to_owned(),
            ));
        }
        let tensors = self.written(scheme);
        let header = self.header(&tensors, scheme, model)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = new_file(folder).map_err(failed)?;
        let mut out = BufWriter::with_capacity(1 << 20, file.as_file_mut());
        let length = u64::try_from(header.len()).map_err(|error| fault(error.to_string()))?;
        out.write_all(&length.to_le_bytes()).and_then(|()| out.write_all(&header)).map_err(failed)?;
        for tensor in &tensors {
            out.write_all(&self.part(tensor)?).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        drop(out);
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// What is written under a scheme's names, in the order of the file: large elements first, so that every tensor is
    /// aligned, then by name.
    fn written(&self, scheme: Scheme) -> Vec<Written> {
        let mut tensors = Vec::new();
        for canonical in self.names() {
            let (Some(dtype), Some(shape)) = (self.dtype(canonical), self.shape(canonical)) else { continue };
            for mapped in scheme.from_canonical(canonical).unwrap_or_default() {
                let mut shape = shape.to_vec();
                if let (How::Part(_), Some(rows)) = (mapped.how, shape.first_mut()) {
                    *rows /= 3;
                }
                let bytes = shape.iter().fold(dtype.size(), |product, size| product.saturating_mul(*size));
                let canonical = canonical.to_owned();
                tensors.push(Written { name: mapped.name, canonical, how: mapped.how, dtype, shape, bytes });
            }
        }
        tensors.sort_by(|a, b| b.dtype.size().cmp(&a.dtype.size()).then_with(|| a.name.cmp(&b.name)));
        tensors
    }

    /// The header, padded with spaces to a multiple of eight bytes.
    fn header(&self, tensors: &[Written], scheme: Scheme, model: &str) -> Result<Vec<u8>, WeightsError> {
        let source = self.checkpoint();
        let metadata = BTreeMap::from([
            ("format", "pt".to_owned()),
            ("model", model.to_owned()),
            ("names", scheme.name().to_owned()),
            ("producer", concat!("detrace ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("source_format", source.format().name().to_owned()),
            ("source_names", self.scheme().name().to_owned()),
            ("source_sha256", self.checkpoint().sha256()?),
        ]);
        let mut header = Map::new();
        header.insert("__metadata__".to_owned(), json!(metadata));
        let mut at = 0_usize;
        for tensor in tensors {
            let end = at + tensor.bytes;
            let entry = json!({"dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [at, end]});
            header.insert(tensor.name.clone(), entry);
            at = end;
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok(header)
    }

    /// The bytes of a tensor to be written.
    fn part(&self, tensor: &Written) -> Result<Cow<'_, [u8]>, WeightsError> {
        let whole = self.tensor(&tensor.canonical)?.bytes;
        let How::Part(index) = tensor.how else { return Ok(whole) };
        let third = |bytes: &[u8]| bytes.chunks(tensor.bytes.max(1)).nth(index).unwrap_or_default().to_vec();
        Ok(Cow::Owned(third(&whole)))
    }
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
