//! Writing a checkpoint as safetensors.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::schemes::How;
use crate::write::{Entry, write_safetensors};
use crate::{Scheme, Weights, WeightsError};

impl Weights {
    /// Writes all tensors to a safetensors file under a scheme's names, as [`write_safetensors`] does. The metadata says
    /// the source's format, scheme and SHA-256, `model`, and `format: pt`, which transformers asks for. The result is the
    /// number of tensors.
    ///
    /// Constants (anchors, `num_batches_tracked` and the like) are not written: models make them again. Paddle's scheme
    /// is refused, as nothing reads it from safetensors.
    pub fn save(&self, path: impl AsRef<Path>, scheme: Scheme, model: &str) -> Result<usize, WeightsError> {
        let path = path.as_ref();
        if scheme == Scheme::Paddle {
            let reason = "Paddle reads no safetensors of its own names; choose canonical, torch or hf".to_owned();
            return Err(WeightsError::Write { path: path.to_owned(), reason });
        }
        let source = self.checkpoint();
        let metadata = BTreeMap::from([
            ("format", "pt".to_owned()),
            ("model", model.to_owned()),
            ("names", scheme.name().to_owned()),
            ("producer", concat!("detrace ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("source_format", source.format().name().to_owned()),
            ("source_names", self.scheme().name().to_owned()),
            ("source_sha256", source.sha256()?),
        ]);
        let (mut entries, mut origins) = (Vec::new(), HashMap::new());
        for canonical in self.names() {
            let (Some(dtype), Some(shape)) = (self.dtype(canonical), self.shape(canonical)) else { continue };
            for mapped in scheme.from_canonical(canonical).unwrap_or_default() {
                let mut shape = shape.to_vec();
                if let (How::Part(_), Some(rows)) = (mapped.how, shape.first_mut()) {
                    *rows /= 3;
                }
                origins.insert(mapped.name.clone(), (canonical, mapped.how));
                entries.push(Entry { name: mapped.name, dtype, shape });
            }
        }
        let count = entries.len();
        write_safetensors(path, entries, &metadata, |entry| match origins.get(&entry.name) {
            Some((canonical, how)) => self.part(canonical, *how, entry.bytes()),
            None => Ok(Cow::Borrowed(&[])),
        })?;
        Ok(count)
    }

    /// The bytes of a canonical tensor, or of the part of it that is written.
    fn part(&self, canonical: &str, how: How, bytes: usize) -> Result<Cow<'_, [u8]>, WeightsError> {
        let whole = self.tensor(canonical)?.bytes;
        let How::Part(index) = how else { return Ok(whole) };
        Ok(Cow::Owned(whole.chunks(bytes.max(1)).nth(index).unwrap_or_default().to_vec()))
    }
}
