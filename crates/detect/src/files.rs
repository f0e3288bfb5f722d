use std::path::{Path, PathBuf};

use detrace_config::{ConfigError, Loaded};

use crate::DetectError;

/// What is done to images, beside a `config.json`.
const PREPROCESSOR: &str = "preprocessor_config.json";

/// Endings of checkpoints.
const WEIGHTS: [&str; 5] = ["safetensors", "pth", "pt", "bin", "pdparams"];

/// A model's files: the configuration with the preprocessing that goes with it, and the checkpoint if it is known.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// The configuration, with what its readers want the user to know. A `preprocessor_config.json` beside a `.json` is
    /// obeyed.
    pub loaded: Loaded,
    /// The checkpoint in the model's folder; none where the model is no folder.
    pub weights: Option<PathBuf>,
}

impl ModelFiles {
    /// The model that a user named: as [`Loaded::open`], or a folder as [`ModelFiles::in_dir`].
    ///
    /// # Errors
    /// As those.
    pub fn open(model: &str) -> Result<ModelFiles, DetectError> {
        let path = Path::new(model);
        if path.is_dir() && detrace_config::zoo::get(model).is_none() {
            return ModelFiles::in_dir(path);
        }
        ModelFiles::described(model, None)
    }

    /// The model of a folder. The configuration is `config.json`, `config.yaml`, `config.yml` or the only yaml, the
    /// checkpoint `model.safetensors` or the only file that ends as checkpoints do.
    ///
    /// # Errors
    /// If either is not there or more than one file could be it, or the configuration cannot be used.
    pub fn in_dir(folder: &Path) -> Result<ModelFiles, DetectError> {
        let config = only(folder, "configuration", &["config.json", "config.yaml", "config.yml"], &["yaml", "yml"])?;
        let weights = only(folder, "checkpoint", &["model.safetensors"], &WEIGHTS)?;
        let Some(config) = config.to_str() else {
            return Err(DetectError::Model(format!("{}: the path is not UTF-8", config.display())));
        };
        ModelFiles::described(config, Some(weights))
    }

    fn described(model: &str, weights: Option<PathBuf>) -> Result<ModelFiles, DetectError> {
        let mut loaded = Loaded::open(model)?;
        let path = Path::new(model);
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            let beside = path.with_file_name(PREPROCESSOR);
            if beside.exists() {
                loaded.warnings.extend(loaded.config.read_preprocessor(&beside)?);
            }
        }
        Ok(ModelFiles { loaded, weights })
    }
}

/// The file of a folder that is called as one of `names`, else the only one with one of the endings.
fn only(folder: &Path, what: &str, names: &[&str], endings: &[&str]) -> Result<PathBuf, DetectError> {
    if let Some(path) = names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Ok(path);
    }
    let shown = folder.display();
    let entries = std::fs::read_dir(folder)
        .map_err(|error| ConfigError::Read { path: shown.to_string(), reason: error.to_string() })?;
    let ends = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_ascii_lowercase();
        path.is_file() && endings.contains(&extension.as_str())
    };
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(ends).collect();
    found.sort();
    let list = |names: &[&str]| names.join(", ");
    match (found.pop(), found.first()) {
        (Some(path), None) => Ok(path),
        (Some(last), Some(first)) => {
            let (first, last) = (first.display(), last.display());
            Err(DetectError::Model(format!(
                "{shown}: more than one file could be the {what}, {first} and {last} for two; leave one, or call it {}",
                list(names)
            )))
        }
        (None, _) => Err(DetectError::Model(format!(
            "{shown}: the folder has no {what}; it would be called {} or end in {}",
            list(names),
            list(endings)
        ))),
    }
}
