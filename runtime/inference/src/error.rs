//! What can go wrong, grouped by who is to blame. Turning these into HTTP answers is the region's business.

use std::{path::PathBuf, time::Duration};

use crate::{
    Device,
    text::{clip, quote},
};

/// Who has to act when something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The caller: the same request will never work.
    Client,
    /// Nobody: there is more work than room. The same request may work later or elsewhere.
    Capacity,
    /// Time ran out.
    Deadline,
    /// Whoever installed or configured this node.
    Operator,
    /// We ourselves, or ONNX Runtime.
    Internal,
}

/// Every failure of this crate.
///
/// The texts of [`Blame::Client`] errors are written for the caller. All others are for the log: they may name files.
/// What they repeat of a request is shortened.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// A tensor of the request does not fit the model.
    #[error("input `{tensor}`: {reason}")]
    Invalid {
        /// The tensor's name as the caller wrote it, or as the model declares it if it is missing.
        tensor: String,
        /// What is wrong, in words for the caller.
        reason: String,
    },
    /// The request asks for an output that the model does not have.
    #[error("the model has no output `{name}`")]
    UnknownOutput {
        /// The output asked for.
        name: String,
    },
    /// The values or the sizes that the model leaves open cannot be computed with, which only the run could find.
    #[error(
        "the model refuses these values or sizes, though they are as it declares them (an index out of range, say, or \
         sizes that do not go together)"
    )]
    Refused,
    /// The request is for more output than the model may give.
    #[error("output `{output}` has {bytes} bytes; the most is {max_bytes}")]
    OutputTooLarge {
        /// The output's name.
        output: String,
        /// Its size.
        bytes: usize,
        /// The limit, from `model.toml`.
        max_bytes: usize,
    },

    /// The model's queue is full.
    #[error("the queue of {capacity} requests is full")]
    QueueFull {
        /// How many requests may wait.
        capacity: usize,
        /// When trying again is sensible, by how long runs have taken lately.
        retry_after: Duration,
    },
    /// The model is being unloaded.
    #[error("the model is being unloaded")]
    Closed,

    /// The deadline passed.
    #[error("the deadline passed {}", if *.started { "during the run" } else { "before the run began" })]
    DeadlineExceeded {
        /// Whether the model had begun to work on the request.
        started: bool,
    },

    /// ONNX Runtime's library cannot be used.
    #[error("ONNX Runtime library {}: {reason}", .path.display())]
    Library {
        /// The library's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `model.toml` has mistakes.
    #[error("{0}")]
    Manifest(#[from] forebay_config::Mistakes),
    /// The model's files cannot be used.
    #[error("model {}: {reason}", .path.display())]
    Model {
        /// The model's folder or the file in it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `require_gpu` is set and the device cannot be had.
    #[error("`require_gpu` is set and the device `{requested}` cannot be used: {reason}")]
    GpuRequired {
        /// The device of the settings.
        requested: Device,
        /// What ONNX Runtime said.
        reason: String,
    },

    /// A failure inside a run that no check foresaw.
    #[error("{reason}")]
    Internal {
        /// What happened, for the log.
        reason: String,
    },
}

/// Longest reason that is told, in characters: it may repeat a shape.
const REASON_CHARS: usize = 400;

impl InferenceError {
    /// Who has to act.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Invalid { .. } | Self::UnknownOutput { .. } | Self::Refused | Self::OutputTooLarge { .. } => {
                Blame::Client
            }
            Self::QueueFull { .. } | Self::Closed => Blame::Capacity,
            Self::DeadlineExceeded { .. } => Blame::Deadline,
            Self::Library { .. } | Self::Manifest(_) | Self::Model { .. } | Self::GpuRequired { .. } => Blame::Operator,
            Self::Internal { .. } => Blame::Internal,
        }
    }

    pub(crate) fn invalid(tensor: impl AsRef<str>, reason: impl AsRef<str>) -> Self {
        Self::Invalid { tensor: quote(tensor.as_ref()), reason: clip(reason.as_ref(), REASON_CHARS) }
    }

    pub(crate) fn model(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Model { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::Internal { reason: reason.into() }
    }
}
