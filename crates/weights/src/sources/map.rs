use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use crate::WeightsError;

/// A file's bytes, mapped into memory. Clones share the map.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    file: Arc<File>,
    map: Option<Arc<Mmap>>,
}

impl Map {
    pub(crate) fn open(path: &Path) -> Result<Map, WeightsError> {
        let read = |reason: String| WeightsError::Read { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| read(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| read(error.to_string()))?;
        if !metadata.is_file() {
            return Err(read("not a file".to_owned()));
        }
        if metadata.len() == 0 {
            return Ok(Map { file: Arc::new(file), map: None });
        }
        // SAFETY: the map is read-only and private. It is undefined behaviour, as with every memory map, if another
        // process shortens or rewrites the file while it is mapped; a checkpoint is not written to while it is read,
        // and files that we write replace the old one by renaming, which leaves the old map as it was.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) };
        let map = map.map_err(|error| read(error.to_string()))?;
        Ok(Map { file: Arc::new(file), map: Some(Arc::new(map)) })
    }

    /// SHA-256 of the file in hexadecimal. It is read anew rather than through the map, whose pages would stay in memory.
    pub(crate) fn sha256(&self) -> io::Result<String> {
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(0))?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
                count => hash.update(buffer.get(..count).unwrap_or_default()),
            }
        }
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map[..])
    }
}
