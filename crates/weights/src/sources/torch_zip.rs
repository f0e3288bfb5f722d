//! The files of `torch.save` since 1.6: a zip archive with `data.pkl` and one entry for each storage.

use std::collections::HashMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use zip::{CompressionMethod, ZipArchive};

use super::map::Map;
use super::pickle;
use super::pickled::{self, Elements, StateDict};
use crate::error::{Checked, Fault};

/// Bytes of the archive's list of entries. 4,000 storages take half a million.
const LARGEST_DIRECTORY: usize = 4 << 20;

/// Bytes of `data.pkl`, once it is unpacked.
const LARGEST_PICKLE: u64 = 16 << 20;

/// How much more than the file all entries may take, once unpacked. Weights hardly compress.
const LARGEST_RATIO: u64 = 20;

/// What is added to that, for small files.
const SPARE: u64 = 1 << 20;

/// An archive whose storages are read on demand.
pub(super) struct Archive {
    zip: Mutex<ZipArchive<Bounded>>,
    /// The storage that was read last: tensors that share one lie next to each other.
    last: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

/// A storage's place in the archive, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) index: usize,
    pub(super) bytes: usize,
}

/// A zip file's state dict, and where its storages are.
pub(super) struct Opened {
    pub(super) archive: Archive,
    pub(super) pickle: Vec<u8>,
    pub(super) state: StateDict,
    pub(super) storages: HashMap<String, Entry>,
    pub(super) swap: bool,
}

/// Reads an archive's directory and its pickle.
pub(super) fn open(map: &Map) -> Checked<Opened> {
    let damaged = |what: &str, error: &dyn std::fmt::Display| Fault::new(format!("{what} of the zip archive: {error}"));
    let left = Arc::new(AtomicUsize::new(LARGEST_DIRECTORY));
    let reader = Bounded { bytes: Cursor::new(map.clone()), left: Arc::clone(&left) };
    let mut zip = ZipArchive::new(reader).map_err(|error| damaged("the list of entries", &error))?;
    let mut entries: HashMap<String, (usize, u64)> = HashMap::new();
    let file = u64::try_from(map.as_ref().len()).unwrap_or(u64::MAX);
    let (mut total, largest) = (0_u64, file.saturating_mul(LARGEST_RATIO).saturating_add(SPARE));
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(|error| damaged("an entry", &error))?;
        let name = entry.name().map_err(|error| damaged("an entry's name", &error))?.into_owned();
        if entry.encrypted() || !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated)
        {
            return Err(Fault::new(format!(
                "entry {name:?} of the zip archive is encrypted, or packed in an unusual way"
            )));
        }
        total = total.saturating_add(entry.size());
        if total > largest {
            return Err(Fault::new(format!(
                "the entries of the zip archive unpack to more than {LARGEST_RATIO} times the file, which weights do not"
            )));
        }
        if entries.insert(name.clone(), (index, entry.size())).is_some() {
            return Err(Fault::new(format!("the zip archive has two entries {name:?}")));
        }
    }
    left.store(usize::MAX, Ordering::Relaxed);
    let folder = entries.keys().find_map(|name| name.strip_suffix("data.pkl").filter(|folder| folder.ends_with('/')));
    let folder = folder.ok_or_else(|| Fault::new("the zip archive has no data.pkl; torch.save writes one"))?.to_owned();
    if entries.contains_key(&format!("{folder}constants.pkl")) {
        return Err(Fault::new("this is a TorchScript program; save its state_dict with torch.save"));
    }
    let archive = Archive { zip: Mutex::new(zip), last: Mutex::new(None) };
    let small = |name: &str, largest: u64| {
        let Some((index, size)) = entries.get(&format!("{folder}{name}")).copied() else { return Ok(None) };
        if size > largest {
            return Err(Fault::new(format!(
                "{name} in the zip archive is said to have {size} bytes; {largest} are the most"
            )));
        }
        archive.read(index, usize::try_from(size).unwrap_or(usize::MAX)).map(Some)
    };
    let order = small("byteorder", 16)?.unwrap_or_else(|| b"little".to_vec());
    let pickle = small("data.pkl", LARGEST_PICKLE)?.unwrap_or_default();
    let object = pickle::read(&pickle, 0)?;
    let state = pickled::state_dict(&object)?;
    let mut storages = HashMap::new();
    for (name, tensor) in &state.tensors {
        let Elements::Storage { key, elements } = &tensor.elements else { continue };
        let (index, size) = entries.get(&format!("{folder}data/{key}")).copied().ok_or_else(|| {
            Fault::new(format!("tensor {name:?} is in storage {key:?}, which the zip archive does not have"))
        })?;
        let bytes = elements.checked_mul(tensor.layout.dtype.size());
        let bytes = bytes.filter(|bytes| u64::try_from(*bytes) == Ok(size)).ok_or_else(|| {
            Fault::new(format!(
                "tensor {name:?} is in a storage of {elements} elements, but the archive has {size} bytes"
            ))
        })?;
        storages.insert(key.clone(), Entry { index, bytes });
    }
    let swap = order == b"big";
    Ok(Opened { archive, pickle, state, storages, swap })
}

impl Archive {
    /// A storage's bytes, checked against the archive's checksum.
    pub(super) fn storage(&self, entry: Entry) -> Checked<Arc<Vec<u8>>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((index, bytes)) if *index == entry.index => Ok(Arc::clone(bytes)),
            _ => {
                *last = None; // two storages are never held at once
                let bytes = Arc::new(self.read(entry.index, entry.bytes)?);
                *last = Some((entry.index, Arc::clone(&bytes)));
                Ok(bytes)
            }
        }
    }

    /// An entry of that many bytes, neither more nor less, whatever the archive says.
    fn read(&self, index: usize, bytes: usize) -> Checked<Vec<u8>> {
        let fault = |error: &dyn std::fmt::Display| Fault::new(format!("an entry of the zip archive: {error}"));
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entry = zip.by_index(index).map_err(|error| fault(&error))?;
        let mut contents = Vec::with_capacity(bytes);
        let more = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(1);
        (&mut entry).take(more).read_to_end(&mut contents).map_err(|error| fault(&error))?;
        if contents.len() != bytes {
            let relation = if contents.len() < bytes { "fewer" } else { "more" };
            return Err(fault(&format!("it has {relation} than the {bytes} bytes that it is said to have")));
        }
        Ok(contents)
    }
}

/// A file of which only so much may be read, until the limit is lifted.
struct Bounded {
    bytes: Cursor<Map>,
    left: Arc<AtomicUsize>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        let count = self.bytes.read(buffer)?;
        if count > left {
            return Err(io::Error::other(format!("it is longer than {LARGEST_DIRECTORY} bytes")));
        }
        if left != usize::MAX {
            self.left.store(left - count, Ordering::Relaxed);
        }
        Ok(count)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}
