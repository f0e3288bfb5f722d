//! Checkpoint files: safetensors, `torch.save` in both of its forms, and pickled arrays as `paddle.save` writes them.
//! What a file is, is seen from its content.

mod dtype;
mod map;
mod pickle;
mod pickled;
mod safetensors;
mod torch_legacy;
mod torch_zip;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

pub use dtype::Dtype;
pub(crate) use dtype::Layout;
use map::Map;
use pickle::value::Span;
use pickled::{Elements, StateDict};
use torch_zip::Archive;

use crate::WeightsError;
use crate::error::{Checked, Fault};

/// What kind of file a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Hugging Face's safetensors.
    Safetensors,
    /// `torch.save` since torch 1.6.
    TorchZip,
    /// `torch.save` before torch 1.6.
    TorchLegacy,
    /// A pickle of numpy arrays, as `paddle.save` writes it.
    Pickle,
}

impl Format {
    /// The name that reports and metadata use.
    pub fn name(self) -> &'static str {
        match self {
            Format::Safetensors => "safetensors",
            Format::TorchZip => "torch (zip)",
            Format::TorchLegacy => "torch (legacy)",
            Format::Pickle => "pickle (paddle)",
        }
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A tensor's type and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info<'a> {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: &'a [usize],
}

/// Wrappers that put their name before every key.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// All tensors' bytes together may be this many times the file (tied tensors share theirs), and [`SHARED_SPARE`] more.
const LARGEST_SHARE: usize = 4;

/// See [`LARGEST_SHARE`].
const SHARED_SPARE: usize = 16 << 20;

/// A checkpoint file. Tensors are read when they are asked for, so that an open checkpoint takes little memory: the
/// file is mapped, and at most one storage of a zip archive is kept.
pub struct Checkpoint {
    path: PathBuf,
    map: Map,
    format: Format,
    place: &'static str,
    tensors: BTreeMap<String, Tensor>,
    others: Vec<String>,
    metadata: BTreeMap<String, String>,
    /// `data.pkl` and the storages of a zip archive.
    archive: Option<(Vec<u8>, Archive)>,
}

struct Tensor {
    layout: Layout,
    bytes: Place,
}

/// Where a tensor's bytes are.
enum Place {
    File(Span),
    /// In the file, as text with one character for each byte.
    FileLatin1(Span),
    Pickle(Span),
    PickleLatin1(Span),
    Entry(torch_zip::Entry),
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Checkpoint")
            .field("path", &self.path)
            .field("format", &self.format)
            .field("place", &self.place)
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Opens a file and reads what tensors it has. Nothing that the file says is run, and it costs at most 200 MiB of
    /// memory beside the map, whatever it says: see the crate's documentation.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint, WeightsError> {
        let path = path.as_ref();
        let map = Map::open(path)?;
        Checkpoint::read(path, map).map_err(|fault| fault.at(path))
    }

    fn read(path: &Path, map: Map) -> Checked<Checkpoint> {
        let bytes = map.as_ref();
        let mut checkpoint = Checkpoint {
            path: path.to_owned(),
            map: map.clone(),
            format: Format::Safetensors,
            place: "bare",
            tensors: BTreeMap::new(),
            others: Vec::new(),
            metadata: BTreeMap::new(),
            archive: None,
        };
        if bytes.starts_with(b"PK\x03\x04") {
            let opened = torch_zip::open(&map)?;
            checkpoint.format = Format::TorchZip;
            checkpoint.add(opened.state, opened.swap, |elements| match elements {
                Elements::Storage { key, .. } => opened.storages.get(key).map(|entry| Place::Entry(*entry)),
                Elements::Bytes(span) => Some(Place::Pickle(*span)),
                Elements::Latin1(span) => Some(Place::PickleLatin1(*span)),
            })?;
            checkpoint.archive = Some((opened.pickle, opened.archive));
        } else if safetensors::starts_like(bytes) {
            let header = safetensors::read(bytes)?;
            checkpoint.metadata = header.metadata;
            for (name, layout, span) in header.tensors {
                checkpoint.tensors.insert(name, Tensor { layout, bytes: Place::File(span) });
            }
        } else if matches!(bytes, [0x80, 2..=5, ..]) {
            checkpoint.read_pickle(bytes)?;
        } else {
            return Err(Fault::new(unknown(bytes)));
        }
        checkpoint.unwrap();
        checkpoint.check_size()?;
        Ok(checkpoint)
    }

    /// Reads a file that starts with a pickle.
    fn read_pickle(&mut self, bytes: &[u8]) -> Checked<()> {
        let first = pickle::read(bytes, 0)?;
        if torch_legacy::is_magic(&first) {
            let legacy = torch_legacy::read(bytes, first.end)?;
            self.format = Format::TorchLegacy;
            self.add(legacy.state, legacy.swap, |elements| match elements {
                Elements::Storage { key, .. } => legacy.storages.get(key).map(|span| Place::File(*span)),
                Elements::Bytes(span) => Some(Place::File(*span)),
                Elements::Latin1(span) => Some(Place::FileLatin1(*span)),
            })
        } else {
            self.format = Format::Pickle;
            let state = pickled::state_dict(&first)?;
            self.add(state, false, |elements| match elements {
                Elements::Storage { .. } => None,
                Elements::Bytes(span) => Some(Place::File(*span)),
                Elements::Latin1(span) => Some(Place::FileLatin1(*span)),
            })
        }
    }

    /// Takes over a state dict. `swap` says whether torch's storages are big-endian.
    fn add(&mut self, state: StateDict, swap: bool, place: impl Fn(&Elements) -> Option<Place>) -> Checked<()> {
        self.place = state.place;
        self.others = state.others;
        for (name, mut tensor) in state.tensors {
            let bytes = place(&tensor.elements)
                .ok_or_else(|| Fault::new(format!("tensor {name:?} is in a storage that the file does not have")))?;
            if matches!(tensor.elements, Elements::Storage { .. }) {
                tensor.layout.swap = swap;
            }
            self.tensors.insert(name, Tensor { layout: tensor.layout, bytes });
        }
        Ok(())
    }

    /// Takes wrappers' names off the keys, if every key has them.
    fn unwrap(&mut self) {
        while let Some(wrapper) =
            WRAPPERS.iter().find(|wrapper| self.tensors.keys().all(|name| name.starts_with(**wrapper)))
            && !self.tensors.is_empty()
        {
            let wrapped = std::mem::take(&mut self.tensors).into_iter();
            self.tensors = wrapped.map(|(name, tensor)| (name[wrapper.len()..].to_owned(), tensor)).collect();
        }
    }

    fn check_size(&self) -> Checked<()> {
        let largest = self.map.as_ref().len().saturating_mul(LARGEST_SHARE).saturating_add(SHARED_SPARE);
        let total = self.tensors.values().try_fold(0_usize, |sum, tensor| sum.checked_add(tensor.layout.bytes()?));
        match total {
            Some(total) if total <= largest => Ok(()),
            _ => Err(Fault::new(format!(
                "its tensors would take more than {LARGEST_SHARE} times the file, which tied weights do not"
            ))),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of file it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Where in the file the state dict lies: `ema.module`, `ema`, `model`, `state_dict`, or `bare` for at the top.
    pub fn place(&self) -> &'static str {
        self.place
    }

    /// Names of the tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Keys beside the tensors whose values are no tensors.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// What the writer of a safetensors file says about it; empty for other files.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// A tensor's type and shape.
    pub fn info(&self, name: &str) -> Option<Info<'_>> {
        let layout = &self.tensors.get(name)?.layout;
        Some(Info { dtype: layout.dtype, shape: &layout.shape })
    }

    /// A tensor's elements, row-major and little-endian: borrowed from the file where they lie in it like that.
    pub fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightsError> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(WeightsError::NoTensor { path: self.path.clone(), name: name.to_owned() });
        };
        let read = || -> Checked<Cow<'_, [u8]>> {
            let pickle = self.archive.as_ref().map_or(&[][..], |(pickle, _)| pickle);
            let too_short = || Fault::new("its storage is too short");
            let storage = match &tensor.bytes {
                Place::File(span) => Cow::Borrowed(slice(self.map.as_ref(), *span)),
                Place::FileLatin1(span) => Cow::Owned(latin1(slice(self.map.as_ref(), *span))),
                Place::Pickle(span) => Cow::Borrowed(slice(pickle, *span)),
                Place::PickleLatin1(span) => Cow::Owned(latin1(slice(pickle, *span))),
                Place::Entry(entry) => {
                    let archive = self.archive.as_ref().map(|(_, archive)| archive).ok_or_else(too_short)?;
                    let storage = archive.storage(*entry)?;
                    let gathered = tensor.layout.gather(Cow::Borrowed(&storage)).ok_or_else(too_short)?;
                    return Ok(Cow::Owned(gathered.into_owned()));
                }
            };
            tensor.layout.gather(storage).ok_or_else(too_short)
        };
        read().map_err(|fault| fault.of(&format!("tensor {name:?}")).at(&self.path))
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> Result<String, WeightsError> {
        let read = |error: std::io::Error| WeightsError::Read { path: self.path.clone(), reason: error.to_string() };
        self.map.sha256().map_err(read)
    }
}

fn slice(bytes: &[u8], span: Span) -> &[u8] {
    bytes.get(span.start..span.end).unwrap_or_default()
}

/// The bytes that text stands for; its characters were checked to be below 256.
fn latin1(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.chars().filter_map(|char| u8::try_from(u32::from(char)).ok()).collect()
}

/// What a file may be that is no checkpoint.
fn unknown(bytes: &[u8]) -> String {
    let guess = match bytes {
        [] => return "the file is empty".to_owned(),
        [b'P', b'K', 5, 6, ..] => "an empty zip archive",
        [0x1F, 0x8B, ..] => "packed with gzip; unpack it first",
        [0x89, b'H', b'D', b'F', ..] => "HDF5",
        [b'G', b'G', b'U', b'F', ..] => "GGUF",
        [0x80, 0 | 1, ..] => "a pickle of protocol 0 or 1, or damaged",
        [0, 0, 0, 0, 0, 0, 0, 0, ..] => "perhaps Paddle's inference parameters (.pdiparams); the .pdparams is needed",
        _ if bytes.starts_with(b"version https://git-lfs") => "a pointer of Git LFS; fetch the file itself",
        _ if bytes.starts_with(b"<") => "a web page; the download went wrong",
        _ if bytes.get(257..262) == Some(b"ustar") => "a tar archive, as torch before 0.1.10 wrote; save it again",
        _ => "unknown",
    };
    let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("no safetensors, torch or Paddle checkpoint: it starts with {} ({guess})", first.join(" "))
}
