//! What can go wrong, and the only place that turns it into an answer.
//!
//! What the caller reads is written here; what happened inside goes to the log and no further.

use std::fmt::Display;
use std::time::Duration;

use forebay_config::Mistakes;
use forebay_http::{BodyError, HttpError, Problem, ProblemType};
use forebay_inference::{Blame, InferenceError};
use forebay_oip::OipError;
use forebay_seal::SealError;

/// Why a node does not start or did not end well. The operator is to blame, except for `Internal`.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The configuration has mistakes.
    #[error("{0}")]
    Config(#[from] Mistakes),
    /// A master key cannot be used.
    #[error(transparent)]
    Key(#[from] SealError),
    /// The listener cannot be set up.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The runtime or a model cannot be used.
    #[error(transparent)]
    Model(#[from] InferenceError),
    /// Two folders hold a model of the same name.
    #[error("two of the [[models]] are named `{0}`")]
    SameModel(String),
    /// A part of the node died.
    #[error("internal: {0}")]
    Internal(String),
}

/// Why a request was not served.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// No such path.
    NoSuchPath,
    /// The path has other methods: these.
    Method(&'static str),
    /// A header or parameter is wrong, in these words.
    BadRequest(String),
    /// The body is compressed.
    Encoding,
    /// There is no room for the body now.
    NoRoom { retry_after: Duration },
    /// The body did not arrive whole.
    Body(BodyError),
    /// The body is not a valid message.
    Message(OipError),
    /// A sealed tensor cannot be opened, or an output not be sealed.
    Sealed { tensor: String, error: SealError },
    /// No such model, or no such version of it.
    NoSuchModel,
    /// Models are still being loaded.
    ModelNotReady,
    /// The node is shutting down.
    Draining,
    /// The model did not answer.
    Inference(InferenceError),
    /// The answer cannot be written as the caller wants it.
    Answer(OipError),
    /// A part of the node died.
    Internal(String),
}

impl RequestError {
    /// The answer. Its `error` member repeats the detail for clients of the Open Inference Protocol, which look there.
    pub(crate) fn problem(&self) -> Problem {
        let problem = self.kind_and_detail();
        let text = problem.detail_text().unwrap_or(problem.kind().title()).to_owned();
        problem.with("error", text)
    }

    /// What the log should say beyond the answer, if anything: failures that are not the caller's.
    pub(crate) fn for_the_log(&self) -> Option<String> {
        let text = match self {
            RequestError::Inference(error) if matches!(error.blame(), Blame::Operator | Blame::Internal) => {
                Some(error.to_string())
            }
            RequestError::Sealed { error: SealError::UnknownKey(key), .. } => {
                Some(format!("a request names the key `{}`, which this region does not have", clip(key, NAME_CHARS)))
            }
            RequestError::Sealed { error: error @ SealError::Internal(_), .. } => Some(error.to_string()),
            RequestError::Answer(error) if !matches!(error, OipError::Unencodable { .. }) => {
                Some(format!("an output is not valid: {error}"))
            }
            RequestError::Internal(reason) => Some(reason.clone()),
            _ => None,
        };
        text.map(told)
    }

    fn kind_and_detail(&self) -> Problem {
        match self {
            RequestError::NoSuchPath => Problem::new(ProblemType::NotFound),
            RequestError::Method(allowed) => Problem::new(ProblemType::MethodNotAllowed).allow(allowed),
            RequestError::BadRequest(reason) => Problem::new(ProblemType::BadRequest).detail(told(reason)),
            RequestError::Encoding => Problem::new(ProblemType::UnsupportedEncoding)
                .detail("compressed bodies are not accepted: send the body without Content-Encoding"),
            RequestError::NoRoom { retry_after } => Problem::new(ProblemType::Overloaded)
                .detail("the bodies of other requests take all the room that there is")
                .retry_after(*retry_after),
            RequestError::Body(error) => error.request_problem(),
            RequestError::Message(error) => message(error),
            RequestError::Sealed { tensor, error } => sealed(tensor, error),
            RequestError::NoSuchModel => Problem::new(ProblemType::ModelNotFound),
            RequestError::ModelNotReady => Problem::new(ProblemType::ModelNotReady).detail("models are being loaded"),
            RequestError::Draining => Problem::new(ProblemType::Draining),
            RequestError::Inference(error) => inference(error),
            RequestError::Answer(error @ OipError::Unencodable { .. }) => message(error),
            RequestError::Answer(_) | RequestError::Internal(_) => Problem::new(ProblemType::Internal),
        }
    }
}

/// Longest text of ours that may repeat a caller's words, and longest name in it, in characters.
const TEXT_CHARS: usize = 1000;
const NAME_CHARS: usize = 80;

/// A text for a caller or the log, whatever it repeats of the request.
fn told(text: impl Display) -> String {
    clip(&text.to_string(), TEXT_CHARS)
}

/// The text without control characters, cut after `max_chars` characters.
fn clip(text: &str, max_chars: usize) -> String {
    let mut letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut clipped: String = letters.by_ref().take(max_chars).collect();
    if letters.next().is_some() {
        clipped.push_str("...");
    }
    clipped
}

fn message(error: &OipError) -> Problem {
    let kind = match error {
        OipError::Malformed(_) => ProblemType::MalformedBody,
        OipError::Tensor { .. } | OipError::Limit { .. } | OipError::Unencodable { .. } => ProblemType::InvalidTensor,
    };
    Problem::new(kind).detail(told(error))
}

fn sealed(tensor: &str, error: &SealError) -> Problem {
    match error {
        SealError::Internal(_) | SealError::KeyFile { .. } => Problem::new(ProblemType::Internal),
        SealError::Malformed(_) | SealError::Refused | SealError::HeaderTooLong | SealError::UnknownKey(_) => {
            Problem::new(ProblemType::SealedField)
                .detail(told(format_args!("tensor `{}`: {error}", clip(tensor, NAME_CHARS))))
        }
    }
}

fn inference(error: &InferenceError) -> Problem {
    match (error, error.blame()) {
        (InferenceError::QueueFull { retry_after, .. }, _) => {
            Problem::new(ProblemType::QueueFull).detail(told(error)).retry_after(*retry_after)
        }
        (InferenceError::GpuRequired { .. }, _) => Problem::new(ProblemType::GpuUnavailable),
        (_, Blame::Client) => Problem::new(ProblemType::InvalidTensor).detail(told(error)),
        (_, Blame::Capacity) => Problem::new(ProblemType::ModelNotReady).detail(told(error)),
        (_, Blame::Deadline) => Problem::new(ProblemType::DeadlineExceeded).detail(told(error)),
        (_, Blame::Operator | Blame::Internal) => Problem::new(ProblemType::Internal),
    }
}

impl From<BodyError> for RequestError {
    fn from(error: BodyError) -> Self {
        RequestError::Body(error)
    }
}

impl From<InferenceError> for RequestError {
    fn from(error: InferenceError) -> Self {
        RequestError::Inference(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_answer_has_the_protocols_error_member() {
        let problem = RequestError::Method("GET").problem();
        assert_eq!(problem.member("error").unwrap(), "Method not allowed");
        let problem = RequestError::Message(OipError::Malformed("no inputs".into())).problem();
        assert_eq!(problem.member("error").unwrap(), "no inputs");
    }

    #[test]
    fn a_full_queue_says_when_to_return() {
        let error = InferenceError::QueueFull { capacity: 4, retry_after: Duration::from_millis(200) };
        let response = RequestError::Inference(error).problem().into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get("retry-after").unwrap(), "1");
    }

    #[test]
    fn what_broke_inside_is_logged_and_not_told() {
        let error = RequestError::Inference(InferenceError::Internal { reason: "/srv/models/secret".into() });
        assert!(!error.problem().to_json().contains("secret"));
        assert!(error.for_the_log().unwrap().contains("secret"));
        let client = RequestError::Inference(InferenceError::UnknownOutput { name: "z".into() });
        assert_eq!(client.for_the_log(), None);
        assert_eq!(client.problem().kind(), ProblemType::InvalidTensor);
    }

    #[test]
    fn a_callers_words_are_repeated_in_short() {
        let long = "n\u{7}".repeat(100_000);
        let unknown_key = SealError::UnknownKey(long.clone());
        for error in [
            RequestError::Message(OipError::Malformed(long.clone())),
            RequestError::Sealed { tensor: long.clone(), error: SealError::Refused },
            RequestError::Sealed { tensor: "x".into(), error: unknown_key },
            RequestError::BadRequest(long.clone()),
            RequestError::Inference(InferenceError::UnknownOutput { name: long }),
        ] {
            let told = error.problem().to_json();
            assert!(told.len() < 3000 && !told.contains("u0007"), "{}", told.len());
            assert!(error.for_the_log().is_none_or(|text| text.len() < 300));
        }
    }
}
