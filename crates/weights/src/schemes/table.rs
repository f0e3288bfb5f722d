//! A naming scheme as a table that is read in both directions.

use super::canonical::kind;
use super::pattern::{read_start, write_with};

/// The start of a canonical module path, and the other scheme's patterns for it. The first is written, all are read.
/// What follows the start is the same on both sides.
#[derive(Debug)]
pub(super) struct Row(pub(super) &'static str, pub(super) &'static [&'static str]);

/// Rows, of which the first that fits wins, and the tensors that have another name (canonical first).
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: &'static [Row],
    pub(super) leaves: &'static [(&'static str, &'static str)],
}

impl Table {
    /// The other scheme's names of a module; the first is the one to write. Empty if no row fits.
    pub(super) fn module_from_canonical(&self, path: &str) -> Vec<String> {
        let fits = self.rows.iter().find_map(|Row(canonical, other)| Some((read_start(canonical, path)?, other)));
        let Some(((captures, rest), other)) = fits else { return Vec::new() };
        other.iter().filter_map(|pattern| Some(write_with(pattern, &captures)? + rest)).collect()
    }

    /// The other scheme's names of a tensor; the first is the one to write. Empty if no row fits.
    pub(super) fn tensor_from_canonical(&self, name: &str) -> Vec<String> {
        let Some((path, leaf)) = name.rsplit_once('.') else { return Vec::new() };
        let leaf = self.leaves.iter().find(|(canonical, _)| *canonical == leaf).map_or(leaf, |(_, other)| other);
        self.module_from_canonical(path).into_iter().map(|path| format!("{path}.{leaf}")).collect()
    }

    /// The canonical name of a tensor that has this name in the other scheme. The tensor must be one that RT-DETR has,
    /// and the name one that the scheme reads for it, so that a name means one tensor.
    pub(super) fn tensor_to_canonical(&self, name: &str) -> Option<String> {
        let (path, leaf) = name.rsplit_once('.')?;
        let leaf = self.leaves.iter().find(|(_, other)| *other == leaf).map_or(leaf, |(canonical, _)| canonical);
        let candidates =
            self.rows.iter().flat_map(|Row(canonical, other)| other.iter().map(move |other| (canonical, other)));
        candidates
            .filter_map(|(canonical, other)| {
                let (captures, rest) = read_start(other, path)?;
                Some(format!("{}{rest}.{leaf}", write_with(canonical, &captures)?))
            })
            .find(|canonical| {
                kind(canonical).is_some() && self.tensor_from_canonical(canonical).iter().any(|back| back == name)
            })
    }
}
