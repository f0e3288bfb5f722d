use std::path::{Path, PathBuf};

use crate::load::Report;

/// Why a checkpoint cannot be read, used or written. The message names the fault and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be opened or mapped.
    #[error("cannot read {}: {reason}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is no checkpoint, or a damaged one, or one that was made to do harm.
    #[error("{}: {fault}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// A pickle wants to use something that no checkpoint needs. Nothing of it was run.
    #[error(
        "{}: the pickle asks for {global}, which is not on the list of what a checkpoint may use; nothing was run. \
         If you trust the file, load it where it was made and save the plain state_dict",
        .path.display()
    )]
    Forbidden {
        /// The file.
        path: PathBuf,
        /// Module and name of what was asked for.
        global: String,
    },
    /// No tensor of that name.
    #[error("{} has no tensor {name:?}", .path.display())]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        name: String,
    },
    /// The names are none of RT-DETR's.
    #[error(
        "{}: the tensors' names are neither those of the official code, nor PaddleDetection's, nor Hugging Face's; \
         the first are {}",
        .path.display(),
        .first.join(", ")
    )]
    Scheme {
        /// The file.
        path: PathBuf,
        /// Some of the names.
        first: Vec<String>,
    },
    /// The tensors are not those that the model needs. The report says which.
    #[error("{}: {}", .path.display(), .report.verdict())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What fits and what does not.
        report: Box<Report>,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {reason}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A fault in a file whose path the caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Damaged(String),
    Forbidden(String),
}

impl Fault {
    pub(crate) fn new(fault: impl Into<String>) -> Self {
        Fault::Damaged(fault.into())
    }

    pub(crate) fn at(self, path: &Path) -> WeightsError {
        let path = path.to_owned();
        match self {
            Fault::Damaged(fault) => WeightsError::Damaged { path, fault },
            Fault::Forbidden(global) => WeightsError::Forbidden { path, global },
        }
    }

    /// The same fault, with what it concerns before it.
    pub(crate) fn of(self, subject: &str) -> Self {
        match self {
            Fault::Damaged(fault) => Fault::Damaged(format!("{subject}: {fault}")),
            forbidden @ Fault::Forbidden(_) => forbidden,
        }
    }
}

pub(crate) type Checked<T> = Result<T, Fault>;
