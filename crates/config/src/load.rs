//! From what a user names to a [`Config`]: a variant of the zoo, or a file in one of three forms.

use std::path::Path;
use std::rc::Rc;

use serde::de::IgnoredAny;
use serde_saphyr::options::NonFiniteFloatPolicy;

use crate::node::{Map, Node};
use crate::{Config, ConfigError, hf, paddle, source, zoo};

/// A configuration, and what its reader wants the user to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration, checked.
    pub config: Config,
    /// One line each, naming the file and where possible the line: what was ignored, guessed or is missing, though the
    /// configuration can be used.
    pub warnings: Vec<String>,
    /// Whether it was read from a configuration of Hugging Face transformers.
    pub of_transformers: bool,
}

impl Loaded {
    /// Whose configuration it was, as traces say it: `hf`, or nothing.
    pub fn framework(&self) -> &'static str {
        if self.of_transformers { "hf" } else { "" }
    }

    /// Loads the model that a user named: a variant of the [`zoo`], or a file. A file is told by its keys:
    ///
    /// | form | told by |
    /// |---|---|
    /// | detrace's own YAML | `backbone`, `encoder`, `decoder`, `version` |
    /// | PaddleDetection's yml with its `_BASE_` chain | `_BASE_`, `architecture`, or the name of a section |
    /// | Hugging Face's `config.json` | `model_type` |
    ///
    /// The configuration's name is the file's, without the extension, except in detrace's own form, which has `name`.
    ///
    /// # Errors
    /// No such model, an unreadable file, unknown or contradictory keys, or a network that is not built here. Every
    /// error names the file, and the line where there is one.
    pub fn open(model: &str) -> Result<Loaded, ConfigError> {
        if let Some(config) = zoo::get(model) {
            return Ok(Loaded { config: config?, warnings: Vec::new(), of_transformers: false });
        }
        let path = Path::new(model);
        match source::read(path, model)? {
            Some(text) => Loaded::from_text(&text, path, model),
            None if model.contains(['/', '\\']) || path.extension().is_some() => {
                Err(ConfigError::Read { path: model.to_owned(), reason: "there is no such file".into() })
            }
            None => Err(ConfigError::UnknownModel { name: model.to_owned(), nearest: zoo::nearest(model) }),
        }
    }

    /// Loads a file's text. Bases are looked for beside `path`; errors call it `shown`.
    fn from_text(text: &str, path: &Path, shown: &str) -> Result<Loaded, ConfigError> {
        let file: Rc<str> = shown.into();
        check_json(text, path, shown)?;
        let mut warnings = Vec::new();
        let top = Node::parse(text, &file, &mut warnings)?.into_map("the file")?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().trim().to_owned()).unwrap_or_default();
        let name = if stem.is_empty() { "unnamed".to_owned() } else { stem };
        let form = Form::of(&top);
        let of_transformers = matches!(form, Some(Form::HuggingFace));
        let config = match form {
            Some(Form::Own) => Config::from_yaml(text, shown)?,
            Some(Form::Paddle) => paddle::read(name, path, &file, top, &mut warnings)?,
            Some(Form::HuggingFace) => hf::read(name, &file, &top, &mut warnings)?,
            Some(Form::OfficialTorch) => {
                let reason = "this is a configuration of the official PyTorch repository, which is not read; the zoo \
                              has its variants, and PaddleDetection's ymls and Hugging Face's config.json are read";
                return Err(ConfigError::Parse { path: shown.to_owned(), reason: reason.into() });
            }
            None => {
                let reason = "this is no configuration of a detector: detrace's own has `backbone`, \
                              PaddleDetection's has `architecture` or `_BASE_`, Hugging Face's config.json has \
                              `model_type`";
                return Err(ConfigError::Parse { path: shown.to_owned(), reason: reason.into() });
            }
        };
        Ok(Loaded { config, warnings, of_transformers })
    }
}

impl Config {
    /// Reads and checks a configuration in detrace's own form. `path` is named in errors.
    pub fn from_yaml(text: &str, path: &str) -> Result<Config, ConfigError> {
        let options = serde_saphyr::options! {
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            budget: serde_saphyr::budget! { max_documents: 1, max_depth: 32, flow_nesting_limit: 32 },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 20_000 },
        };
        let config: Config = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), reason: error.to_string() })?;
        config.check()?;
        Ok(config)
    }

    /// Reads Hugging Face's `preprocessor_config.json` into [`Config::preprocess`]. The result is warnings, as
    /// [`Loaded::warnings`].
    ///
    /// # Errors
    /// An unreadable file, a setting that is not built here, or a size that the network cannot take. The configuration
    /// is not changed then.
    pub fn read_preprocessor(&mut self, path: &Path) -> Result<Vec<String>, ConfigError> {
        let shown = path.display().to_string();
        let Some(text) = source::read(path, &shown)? else {
            return Err(ConfigError::Read { path: shown, reason: "there is no such file".into() });
        };
        check_json(&text, path, &shown)?;
        let (file, mut warnings, mut read) = (Rc::from(shown), Vec::new(), self.clone());
        let top = Node::parse(&text, &file, &mut warnings)?.into_map("the file")?;
        hf::read_processor(&file, &top, &mut read, &mut warnings)?;
        *self = read;
        Ok(warnings)
    }

    /// The model that a user named, as [`Loaded::open`], for callers who show no warnings.
    pub fn load(model: &str) -> Result<Config, ConfigError> {
        Loaded::open(model).map(|loaded| loaded.config)
    }
}

/// Who writes configurations of that form.
enum Form {
    Own,
    Paddle,
    HuggingFace,
    OfficialTorch,
}

impl Form {
    fn of(top: &Map) -> Option<Form> {
        let any = |keys: &[&str]| keys.iter().any(|&key| top.contains_key(key));
        if any(&["model_type"]) {
            Some(Form::HuggingFace)
        } else if any(&["__include__", "PResNet", "RTDETR", "HGNetv2"]) {
            Some(Form::OfficialTorch)
        } else if any(&["_BASE_", "architecture", "DETR"]) || any(paddle::SECTIONS) {
            Some(Form::Paddle)
        } else if any(&["backbone", "encoder", "decoder", "version"]) {
            Some(Form::Own)
        } else {
            None
        }
    }
}

/// Checks JSON's syntax with a JSON parser; afterwards the YAML parser, which knows the lines, reads it: JSON is YAML.
/// What is neither called `.json` nor JSON is left to the YAML parser.
fn check_json(text: &str, path: &Path, shown: &str) -> Result<(), ConfigError> {
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        return Ok(());
    }
    match serde_json::from_str::<IgnoredAny>(text.trim_start_matches('\u{feff}')) {
        Ok(_) => Ok(()),
        Err(error) => {
            let line = error.line() as u64;
            Err(ConfigError::InFile { path: shown.to_owned(), line, fault: format!("this is not JSON: {error}") })
        }
    }
}
