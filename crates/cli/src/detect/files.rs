//! Which images are meant, and what becomes of their names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The files that the user named, folders replaced by the images in them, in the order of their names. Folders in folders
/// are left out.
pub(crate) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut images: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| is_image(path) && path.is_file())
            .collect();
        if images.is_empty() {
            bail!("{}: the folder has no image, no name that ends in .png, .jpg or .jpeg", path.display());
        }
        images.sort();
        files.append(&mut images);
    }
    Ok(files)
}

fn ends(path: &Path, endings: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_ascii_lowercase();
    endings.contains(&extension.as_str())
}

pub(crate) fn is_jpeg(path: &Path) -> bool {
    ends(path, &["jpg", "jpeg"])
}

fn is_image(path: &Path) -> bool {
    is_jpeg(path) || ends(path, &["png"])
}

/// What an image with drawn boxes is called: as the image, with `.png` after it if the name does not say what it is.
pub(crate) fn drawn_name(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    if !is_image(path) {
        name.push(".png");
    }
    name
}

/// Refuses images that would be drawn over one another or over themselves.
pub(crate) fn distinct_names(paths: &[PathBuf], folder: &Path) -> Result<()> {
    distinct(paths, |path| drawn_name(path).to_string_lossy().into_owned(), "would be drawn into one file")?;
    for path in paths {
        let target = folder.join(drawn_name(path));
        if let (Ok(source), Ok(target)) = (path.canonicalize(), target.canonicalize())
            && source == target
        {
            bail!("{} would be drawn over itself; name another folder with --draw", path.display());
        }
    }
    Ok(())
}

/// COCO's `image_id` of a file: the number that its name is, else its name without the ending.
pub(crate) fn image_id(file: &Path) -> serde_json::Value {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.parse::<u64>().map_or_else(|_| stem.into_owned().into(), serde_json::Value::from)
}

/// Refuses images that COCO's results format would take for one.
pub(crate) fn distinct_ids(paths: &[PathBuf]) -> Result<()> {
    distinct(paths, |path| image_id(path).to_string(), "have one image_id")
}

fn distinct(paths: &[PathBuf], key: impl Fn(&Path) -> String, fault: &str) -> Result<()> {
    let mut seen = BTreeMap::new();
    for path in paths {
        if let Some(other) = seen.insert(key(path), path) {
            bail!("{} and {} {fault}; give them different names, or run them apart", other.display(), path.display());
        }
    }
    Ok(())
}
