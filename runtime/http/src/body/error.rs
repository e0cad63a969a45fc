//! Why a body did not arrive whole.

use crate::problem::{Problem, ProblemType};

/// Why a body did not arrive whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than its reader allows.
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit it went over.
        limit_bytes: u64,
    },
    /// It did not arrive, or nothing of it arrived, in time.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// Its sender broke off or broke the protocol.
    #[error("the body broke off: {0}")]
    Broken(String),
}

impl BodyError {
    /// The problem to answer with when this happened to a request's body. (With an upstream's body it is a bad gateway.)
    #[must_use]
    pub fn request_problem(&self) -> Problem {
        let kind = match self {
            Self::TooLarge { .. } => ProblemType::BodyTooLarge,
            Self::TimedOut => ProblemType::RequestTimeout,
            Self::Broken(_) => return Problem::new(ProblemType::MalformedBody).detail("the body broke off"),
        };
        Problem::new(kind).detail(self.to_string())
    }
}

impl From<hyper::Error> for BodyError {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<std::convert::Infallible> for BodyError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
