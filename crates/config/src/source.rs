//! A file's text, read with a bound.

use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::ConfigError;

/// Largest configuration file in bytes; the published ones have a few thousand.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The text of a file, or `None` if there is no such file. `shown` is its name in errors.
///
/// Only regular files are opened: a pipe or a device could block or never end.
pub(crate) fn read(path: &Path, shown: &str) -> Result<Option<String>, ConfigError> {
    let fail = |reason: String| ConfigError::Read { path: shown.to_owned(), reason };
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error.to_string())),
    };
    if meta.is_dir() {
        return Err(fail("it is a folder; name the configuration file in it".into()));
    }
    if !meta.is_file() {
        return Err(fail("it is not a regular file".into()));
    }
    let too_large = || fail(format!("more than {LARGEST} bytes are too many for a configuration"));
    if meta.len() > LARGEST {
        return Err(too_large());
    }
    let file = std::fs::File::open(path).map_err(|error| fail(error.to_string()))?;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| fail(error.to_string()))?;
    if text.len() as u64 > LARGEST {
        return Err(too_large());
    }
    Ok(Some(text))
}
