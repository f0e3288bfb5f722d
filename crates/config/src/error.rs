/// Why a configuration or an input size cannot be used. The message names the fault and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No variant of that name, and no file either.
    #[error("there is no model {name:?}{}; `detrace models` lists them, and a path to a file works too", did_you_mean(.nearest))]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The nearest known name, if one is near.
        nearest: Option<String>,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// The file is not YAML, or not of a configuration's form.
    #[error("{path}: {reason}")]
    Parse {
        /// The file or the zoo's name.
        path: String,
        /// Line, column and fault.
        reason: String,
    },
    /// A line of a user's file is at fault.
    #[error("{path}:{line}: {fault}")]
    InFile {
        /// The file.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong, and what would be right.
        fault: String,
    },
    /// Keys contradict each other or are out of range.
    #[error("model {model}: {key}: {fault}")]
    Value {
        /// The model's name.
        model: String,
        /// The key at fault.
        key: &'static str,
        /// What is wrong, and what would be right.
        fault: String,
    },
    /// The network cannot take that input.
    #[error("input {shape}: {fault}")]
    Input {
        /// The shape, as the user would write it.
        shape: String,
        /// What is wrong, and what would be right.
        fault: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}
