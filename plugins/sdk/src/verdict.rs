//! Verdicts: what a hook returns.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::types::{Answer, Header, Verdict};

#[cfg(not(target_family = "wasm"))]
mod native {
    /// A header field of an answer.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Header {
        /// Its name.
        pub name: String,
        /// Its value.
        pub value: String,
    }

    /// An answer in place of what would have come next.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Answer {
        /// 200 to 599, except 204, 205 and 304.
        pub status: u16,
        /// The slug of a problem type of the gateway; none for an answer without a body.
        pub problem: Option<String>,
        /// One sentence for the client, at most 1,024 bytes. Never a claim, a token or a key.
        pub detail: String,
        /// Header fields, at most 16.
        pub headers: Vec<Header>,
    }

    /// The decision of a hook.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Verdict {
        /// Go on, with the edits that the hook made.
        Continue,
        /// Stop here and answer the client.
        Answer(Answer),
    }
}
#[cfg(not(target_family = "wasm"))]
pub use native::{Answer, Header, Verdict};

impl Verdict {
    /// An answer with a problem document.
    #[must_use]
    pub fn answer(status: u16, problem: &str, detail: &str) -> Self {
        Self::Answer(Answer {
            status,
            problem: Some(problem.to_owned()),
            detail: detail.to_owned(),
            headers: Vec::new(),
        })
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self::Answer(Answer { status, problem: None, detail: String::new(), headers: Vec::new() })
    }

    /// 403 `forbidden`.
    #[must_use]
    pub fn forbid(detail: &str) -> Self {
        Self::answer(403, "forbidden", detail)
    }

    /// 400 `bad-request`.
    #[must_use]
    pub fn bad_request(detail: &str) -> Self {
        Self::answer(400, "bad-request", detail)
    }

    /// 401 `missing-credentials`, with a challenge.
    #[must_use]
    pub fn unauthenticated(detail: &str, challenge: &str) -> Self {
        Self::answer(401, "missing-credentials", detail).header("www-authenticate", challenge)
    }

    /// 429 `too-many-requests`, to be tried again after so many seconds.
    #[must_use]
    pub fn too_many(detail: &str, retry_after_s: u64) -> Self {
        Self::answer(429, "too-many-requests", detail).header("retry-after", &retry_after_s.to_string())
    }

    /// 503 `policy-failed`: the plugin cannot decide, so the request is refused.
    #[must_use]
    pub fn cannot_decide(detail: &str) -> Self {
        Self::answer(503, "policy-failed", detail)
    }

    /// With one more header field, on an answer. Does nothing to a verdict that goes on: edit the head for that.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer(answer) = &mut self {
            answer.headers.push(Header { name: name.to_owned(), value: value.to_owned() });
        }
        self
    }
}
