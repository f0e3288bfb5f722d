//! PaddleDetection's `_BASE_`: a file names others that are read first; what comes later overrides, key by key.
//!
//! As in `ppdet/core/workspace.py`: bases are read in their order, each with its own bases before it, then the file
//! itself; two mappings under one key are merged to any depth, everything else (lists too) is replaced.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::node::{Entry, Map, Node, Place, Value};
use crate::{ConfigError, source};

const BASE: &str = "_BASE_";
const DEEPEST: usize = 16;
const MOST_FILES: usize = 64;

/// A file and its bases, merged.
pub(super) struct Chain {
    /// The merged keys.
    pub(super) tree: Map,
    /// Bases that do not exist, and where they are asked for.
    pub(super) missing: Vec<(Place, String)>,
    files: usize,
    open: Vec<PathBuf>,
}

impl Chain {
    /// Merges the bases of `top`, the mapping read from `path`, and then `top` itself.
    pub(super) fn read(
        path: &Path,
        file: &Rc<str>,
        top: Map,
        warnings: &mut Vec<String>,
    ) -> Result<Chain, ConfigError> {
        let mut chain = Chain { tree: Map::new(), missing: Vec::new(), files: 1, open: vec![identity(path)] };
        chain.add(path, file, top, warnings)?;
        Ok(chain)
    }

    fn add(
        &mut self,
        path: &Path,
        file: &Rc<str>,
        mut top: Map,
        warnings: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        if let Some(bases) = top.remove(BASE) {
            for (place, base) in names(bases)? {
                self.add_base(path, file, &place, &base, warnings)?;
            }
        }
        merge(&mut self.tree, top);
        Ok(())
    }

    fn add_base(
        &mut self,
        from: &Path,
        from_shown: &str,
        place: &Place,
        base: &str,
        warnings: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        let path = beside(from, base);
        let shown: Rc<str> = beside(Path::new(from_shown), base).display().to_string().into();
        if self.open.contains(&identity(&path)) {
            let fault =
                format!("{BASE}: {shown} is read already; a file cannot be its own base, directly or by others");
            return Err(place.fault(fault));
        }
        if self.open.len() >= DEEPEST {
            return Err(place.fault(format!("{BASE}: more than {DEEPEST} files deep")));
        }
        self.files += 1;
        if self.files > MOST_FILES {
            return Err(place.fault(format!("{BASE}: more than {MOST_FILES} files")));
        }
        let Some(text) = source::read(&path, &shown)? else {
            self.missing.push((place.clone(), shown.to_string()));
            return Ok(());
        };
        let top = Node::parse(&text, &shown, warnings)?.into_map("the file")?;
        self.open.push(identity(&path));
        self.add(&path, &shown, top, warnings)?;
        self.open.pop();
        Ok(())
    }
}

/// The bases' names: a list, or one name.
fn names(bases: Entry) -> Result<Vec<(Place, String)>, ConfigError> {
    let items = match bases.node.value {
        Value::List(items) => items,
        value => vec![Node { value, place: bases.node.place }],
    };
    items
        .into_iter()
        .map(|item| match item.value {
            Value::Text(name) => Ok((item.place, name)),
            other => Err(item.place.fault(format!("{BASE}: {other} is not the name of a file"))),
        })
        .collect()
}

/// A base's path: relative to the file that names it; `~` is the user's home.
fn beside(file: &Path, base: &str) -> PathBuf {
    if let Some(rest) = base.strip_prefix("~/")
        && let Some(home) = std::env::home_dir()
    {
        return home.join(rest);
    }
    file.parent().unwrap_or(Path::new("")).join(base)
}

/// What makes two paths the same file.
fn identity(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Merges `over` into `tree`. A key that `over` gives stands where `over` has it.
fn merge(tree: &mut Map, over: Map) {
    for (key, entry) in over {
        match tree.get_mut(&key) {
            Some(Entry { key: place, node: Node { value: Value::Map(old), place: value_place } })
                if matches!(entry.node.value, Value::Map(_)) =>
            {
                *place = entry.key;
                *value_place = entry.node.place;
                if let Value::Map(new) = entry.node.value {
                    merge(old, new);
                }
            }
            _ => {
                tree.insert(key, entry);
            }
        }
    }
}
