//! What the reader tests share.
#![allow(dead_code)] // each test binary uses its part

use std::path::{Path, PathBuf};

use detrace_config::{Config, ConfigError, Loaded, zoo};

/// `tests/fixtures/configs/` and a path under it.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/configs").join(path)
}

/// Every file of a fixture folder with that extension.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("folder entry").path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

pub(crate) fn open(path: &Path) -> Result<Loaded, ConfigError> {
    Loaded::open(path.to_str().expect("UTF-8 path"))
}

/// The zoo's variant without what only the zoo has.
pub(crate) fn variant(name: &str) -> Config {
    let config = zoo::get(name).unwrap_or_else(|| panic!("no variant {name}")).expect("sound variant");
    Config { published: None, weights: Vec::new(), ..config }
}

/// A folder for one test's files.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().expect("temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(&path, text).expect("file");
        path
    }

    /// Loads a file with that text.
    pub(crate) fn open(&self, name: &str, text: impl AsRef<[u8]>) -> Result<Loaded, ConfigError> {
        open(&self.write(name, text))
    }

    /// Loads a yml that overrides a base among the fixtures; `text` begins at line 2.
    pub(crate) fn over(&self, base: &str, text: &str) -> Result<Loaded, ConfigError> {
        let base = fixture("paddle").join(base);
        self.open("edited.yml", format!("_BASE_: [{:?}]\n{text}", base.display()))
    }

    /// The error of a yml as [`Folder::over`] writes it, without the folder in front.
    pub(crate) fn refusal(&self, base: &str, text: &str) -> String {
        self.short(self.over(base, text).map(|loaded| loaded.config))
    }

    /// An error's message without the folder in front.
    pub(crate) fn short(&self, result: Result<Config, ConfigError>) -> String {
        let error = result.expect_err("must be refused").to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}
