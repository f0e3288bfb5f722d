use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::WeightsError;

/// A file's bytes, mapped into memory. Clones share the map.
#[derive(Clone, Debug)]
pub(crate) struct Map(Option<Arc<Mmap>>);

impl Map {
    pub(crate) fn open(path: &Path) -> Result<Map, WeightsError> {
        let read = |reason: String| WeightsError::Read { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| read(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| read(error.to_string()))?;
        if !metadata.is_file() {
            return Err(read("not a file".to_owned()));
        }
        if metadata.len() == 0 {
            return Ok(Map(None));
        }
        // SAFETY: the map is read-only and private. It is undefined behaviour, as with every memory map, if another
        // process shortens or rewrites the file while it is mapped; a checkpoint is not written to while it is read,
        // and files that we write replace the old one by renaming, which leaves the old map as it was.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) };
        Ok(Map(Some(Arc::new(map.map_err(|error| read(error.to_string()))?))))
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |map| &map[..])
    }
}
