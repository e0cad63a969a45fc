//! Problem documents (RFC 9457): the one form in which a request is refused.
//!
//! What the client reads is not what the log says: a detail written here is for the caller, and names nothing about
//! the node's inside.

mod kind;

use std::fmt::{Display, Formatter};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use crate::body::Body;

pub use kind::ProblemType;

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Members that RFC 9457 section 3.1 defines; an extension cannot take their names.
const RESERVED: [&str; 5] = ["type", "title", "status", "detail", "instance"];

/// A refusal on its way to becoming a response. One pointer wide, so that it can be the error of any function.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: ProblemType,
    status: StatusCode,
    detail: Option<String>,
    instance: Option<String>,
    extra: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    /// A problem that says no more than its type.
    #[must_use]
    pub fn new(kind: ProblemType) -> Self {
        Self(Box::new(Parts {
            kind,
            status: kind.status(),
            detail: None,
            instance: None,
            extra: Map::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// What is wrong with this very request, for its sender to read.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Another status than the type's own, where whoever refuses has its reason for it.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// A URI reference for this occurrence, such as `urn:uuid:` with the request's id.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.0.instance = Some(instance.into());
        self
    }

    /// An extension member (RFC 9457 section 3.2). The five standard names are left alone.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        if !RESERVED.contains(&member) {
            self.0.extra.insert(member.to_owned(), value.into());
        }
        self
    }

    /// When to try again; sent in whole seconds, rounded up, at least one (RFC 9110 section 10.2.3).
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.0.headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        self
    }

    /// A challenge (RFC 9110 section 11.6.1); several may be given. One that is no valid header value is left out.
    #[must_use]
    pub fn www_authenticate(self, challenge: &str) -> Self {
        self.header(WWW_AUTHENTICATE, challenge)
    }

    /// The methods that are allowed, such as `GET, HEAD`; a 405 must say so (RFC 9110 section 15.5.6).
    #[must_use]
    pub fn allow(self, methods: &str) -> Self {
        self.header(ALLOW, methods)
    }

    /// Adds a header field. A value that is no valid header value is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.append(name, value);
        }
        self
    }

    /// The problem's type.
    #[must_use]
    pub fn kind(&self) -> ProblemType {
        self.0.kind
    }

    /// The status that the response will have.
    #[must_use]
    pub fn status_code(&self) -> StatusCode {
        self.0.status
    }

    /// The detail, if one was given.
    #[must_use]
    pub fn detail_text(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// An extension member, if it was given.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.extra.get(name)
    }

    /// The header fields that go with the document, without its content type.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The document as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut document = Map::new();
        document.insert("type".into(), self.0.kind.uri().into());
        document.insert("title".into(), self.0.kind.title().into());
        document.insert("status".into(), self.0.status.as_u16().into());
        if let Some(detail) = &self.0.detail {
            document.insert("detail".into(), detail.as_str().into());
        }
        if let Some(instance) = &self.0.instance {
            document.insert("instance".into(), instance.as_str().into());
        }
        document.extend(self.0.extra.iter().map(|(name, value)| (name.clone(), value.clone())));
        Value::Object(document).to_string()
    }

    /// Reads a document that another node wrote; None unless its type is one of ours. Header fields are not part of it.
    #[must_use]
    pub fn from_json(body: &[u8]) -> Option<Self> {
        let mut document: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let kind = ProblemType::from_uri(document.get("type")?.as_str()?)?;
        let mut text = |name| match document.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (detail, instance) = (text("detail"), text("instance"));
        document.retain(|name, _| !RESERVED.contains(&name.as_str()));
        let mut problem = Self::new(kind);
        problem.0.detail = detail;
        problem.0.instance = instance;
        problem.0.extra = document;
        Some(problem)
    }

    /// The response: the status, the document, `cache-control: no-store` and the given header fields.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let body = Body::full(Bytes::from(self.to_json()));
        let mut response = Response::new(body);
        *response.status_mut() = self.0.status;
        *response.headers_mut() = self.0.headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl std::error::Error for Problem {}

impl Display for Problem {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0.kind.slug())?;
        self.0.detail.iter().try_for_each(|detail| write!(out, ": {detail}"))
    }
}

impl From<ProblemType> for Problem {
    fn from(kind: ProblemType) -> Self {
        Self::new(kind)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_problem_becomes_a_response_that_nothing_caches() {
        let problem = Problem::new(ProblemType::QueueFull)
            .detail("the queue of `embed` is full")
            .with("model", "embed")
            .with("status", 200)
            .retry_after(Duration::from_millis(1500));
        let document: Value = serde_json::from_str(&problem.to_json()).unwrap();
        assert_eq!(document["type"], "https://forebay.dev/problems/queue-full");
        assert_eq!(document["status"], 503);
        assert_eq!(document["model"], "embed");
        let response = problem.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn a_document_survives_the_way_to_another_node() {
        let sent =
            Problem::new(ProblemType::InvalidTensor).detail("wrong shape").instance("urn:x").with("input", "ids");
        let read = Problem::from_json(sent.to_json().as_bytes()).unwrap();
        assert_eq!(read.to_json(), sent.to_json());
        assert!(Problem::from_json(br#"{"type":"about:blank"}"#).is_none());
        assert!(Problem::from_json(b"[]").is_none());
    }

    #[test]
    fn a_challenge_cannot_smuggle_a_header() {
        let problem = Problem::new(ProblemType::InvalidToken).www_authenticate("Bearer\r\nx: y");
        assert!(problem.headers().is_empty());
    }
}
