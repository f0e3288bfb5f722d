use std::path::PathBuf;

/// Why there are no detections. The message names the fault and, where there is one, the cure.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// An image cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Bytes that are no image, or one that is damaged or too large.
    #[error("{0}")]
    Image(String),
    /// A model's folder lacks what is needed, or it is not plain which file is meant.
    #[error("{0}")]
    Model(String),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] detrace_config::ConfigError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Weights(#[from] detrace_weights::WeightsError),
    /// The network cannot run, or says what no boxes can be made of.
    #[error(transparent)]
    Network(#[from] candle_core::Error),
}
