//! What can be wrong with a message, said so that whoever wrote it can mend it.
//!
//! Texts are short and bounded however long the offending value is, and they name tensors but never quote their data.

/// Longest piece of someone else's text that a message repeats, in characters.
const QUOTE_CHARS: usize = 80;
/// Longest parser message that is passed on, in characters.
const PARSER_CHARS: usize = 200;

/// A message could not be read or written.
///
/// The first three are the sender's fault. `Unencodable` is nobody's: the tensor is valid, but not in the encoding asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OipError {
    /// The envelope is wrong: not JSON, a missing or mistyped field, a header that does not fit the body.
    #[error("{0}")]
    Malformed(String),
    /// One tensor is wrong: its datatype, shape, element count or data.
    #[error("tensor `{tensor}`: {reason}")]
    Tensor {
        /// Name of the tensor, cut if very long.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The message is larger than this node reads.
    #[error("{what} exceeds the limit of {limit}")]
    Limit {
        /// What there is too much of, with the tensor's name if it is about one.
        what: String,
        /// The most that is accepted.
        limit: usize,
    },
    /// A valid tensor that the chosen encoding cannot express.
    #[error("tensor `{tensor}`: {reason}")]
    Unencodable {
        /// Name of the tensor, cut if very long.
        tensor: String,
        /// Why not, and what to ask for instead.
        reason: String,
    },
}

impl OipError {
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        OipError::Malformed(reason.into())
    }

    pub(crate) fn json(error: &serde_json::Error) -> Self {
        OipError::Malformed(clip(&error.to_string(), PARSER_CHARS))
    }

    pub(crate) fn tensor(name: &str, reason: impl Into<String>) -> Self {
        OipError::Tensor { tensor: quote(name), reason: reason.into() }
    }

    pub(crate) fn unencodable(name: &str, reason: impl Into<String>) -> Self {
        OipError::Unencodable { tensor: quote(name), reason: reason.into() }
    }
}

/// A sender's text, short enough and tame enough to stand in a message.
pub(crate) fn quote(text: &str) -> String {
    clip(text, QUOTE_CHARS).replace(char::is_control, "\u{fffd}")
}

fn clip(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}
