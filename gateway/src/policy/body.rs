//! Bodies in the hands of plugins: whole, or part by part while they stream.
//!
//! A plugin that looks into bodies must not be got around: where one does, a content coding that it could not read is
//! refused, and a range of something that it would have to see whole is not asked for.

mod events;
mod guarded;
mod messages;
mod streaming;

use std::sync::Arc;

use bytes::Bytes;
use forebay_http::{Body, ProblemType};
use forebay_policy::{Context, Part, PartKind, Phase, Plugin, Side};
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;

use super::Chain;
use super::shadow::BODY_BYTES;
use crate::error::Refusal;
use streaming::Streaming;

pub(crate) use guarded::guarded;
pub(crate) use messages::{Messages, Stopped};
pub(crate) use streaming::Fault;

/// Fields that say something of the very bytes of a body (RFC 9530 and what came before it), and are wrong once a plugin
/// may have changed them.
const OF_THE_BYTES: [HeaderName; 7] = [
    CONTENT_LENGTH,
    ETAG,
    ACCEPT_RANGES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

impl Chain {
    /// Whether any plugin looks into bodies of that side.
    pub(crate) fn looks_into(&self, side: Side) -> bool {
        self.has(Phase::body(side)) || self.has(Phase::chunk(side))
    }

    /// Whether any plugin may change bodies of requests, or fields of them.
    pub(crate) fn changes_requests(&self) -> bool {
        self.looks_into(Side::Request) || self.has(Phase::Forward)
    }

    /// Shows a whole body to the plugins that want it whole; each sees what the one before left.
    ///
    /// # Errors
    /// A plugin answered instead, failed, or the deadline passed.
    pub(crate) async fn on_body(
        &self,
        side: Side,
        headers: &HeaderMap,
        mut bytes: Bytes,
        context: &Context,
    ) -> Result<Bytes, Refusal> {
        for policy in self.with(Phase::body(side)) {
            let content_type = content_type(headers);
            let part = Part { kind: PartKind::Whole, side, content_type, last: true, bytes };
            if let Some(shadow) = policy.shadow.as_ref().filter(|_| part.bytes.len() > BODY_BYTES) {
                shadow.skip(Phase::body(side));
                bytes = self.run(policy, context.deadline, policy.plugin.on_body(part, context)).await?;
                continue;
            }
            let again = part.clone();
            let beside = |plugin: Plugin, context: Context| async move { plugin.on_body(again, &context).await };
            let call = policy.plugin.on_body(part, context);
            bytes = self.run_beside(policy, Phase::body(side), context, call, beside).await?;
        }
        Ok(bytes)
    }

    /// Shows a body to the plugins that want its parts or its trailers, while somebody reads it.
    ///
    /// # Errors
    /// There is no place for an instance.
    pub(crate) async fn streamed(
        self: &Arc<Self>,
        side: Side,
        headers: &HeaderMap,
        body: Body,
        context: &Context,
    ) -> Result<(Body, Fault), Refusal> {
        // Where there is no body there are no parts, and a request without one must not look as if it had one.
        if body.is_end_stream() || (!self.has(Phase::chunk(side)) && !self.has(Phase::Trailers)) {
            return Ok((body, Fault::default()));
        }
        Ok(Streaming::begin(Arc::clone(self), side, content_type(headers), body, context.clone()).await?.into_body())
    }
}

/// Refuses a request whose body no plugin could look into, or another way than its reader.
///
/// # Errors
/// 415 for a content coding, 400 for more than one media type.
pub(crate) fn check_request(headers: &HeaderMap) -> Result<(), Refusal> {
    if is_coded(headers) {
        let detail = "this route takes bodies without a content coding only: its policies look into them";
        return Err(Refusal::new(ProblemType::UnsupportedEncoding, detail));
    }
    if !has_one_type(headers) {
        return Err(Refusal::new(ProblemType::BadRequest, "Content-Type must be one media type"));
    }
    Ok(())
}

/// Why plugins cannot look into an answer with this head.
pub(crate) fn unreadable(status: StatusCode, headers: &HeaderMap) -> Option<&'static str> {
    if is_coded(headers) {
        return Some("it has a content coding, and this route's policies look into it");
    }
    if status == StatusCode::PARTIAL_CONTENT || headers.contains_key(CONTENT_RANGE) {
        return Some("it is a part that nobody asked for, and this route's policies look into the whole");
    }
    (!has_one_type(headers)).then_some("it has more than one media type, and this route's policies look into it")
}

/// Whether the body has a content coding.
fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether there is at most one media type: of two, whoever reads the body may take the other one (RFC 9110, section
/// 5.3).
fn has_one_type(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
    let plain = |media: &[u8]| !media.split(|byte| *byte == b';').next().unwrap_or_default().contains(&b',');
    types.next().is_none_or(plain) && types.next().is_none()
}

/// Removes what was said of bytes that a plugin may have changed.
pub(crate) fn forget_bytes(headers: &mut HeaderMap) {
    for name in &OF_THE_BYTES {
        headers.remove(name);
    }
}

fn content_type(headers: &HeaderMap) -> Option<Arc<str>> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_identity_is_no_coding() {
        let mut headers = HeaderMap::new();
        assert!(!is_coded(&headers));
        headers.append(CONTENT_ENCODING, "Identity".parse().unwrap());
        assert!(check_request(&headers).is_ok());
        headers.append(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(check_request(&headers).unwrap_err().reason(), "unsupported-encoding");
        assert!(unreadable(StatusCode::OK, &headers).is_some());
    }

    #[test]
    fn a_body_has_one_media_type_or_none() {
        let mut headers = HeaderMap::new();
        assert!(has_one_type(&headers));
        headers.append(CONTENT_TYPE, "multipart/mixed; boundary=\"a,b\"".parse().unwrap());
        assert!(has_one_type(&headers));
        headers.append(CONTENT_TYPE, "text/plain".parse().unwrap());
        assert_eq!(check_request(&headers).unwrap_err().reason(), "bad-request");
        headers.insert(CONTENT_TYPE, "text/html, application/x+json".parse().unwrap());
        assert!(unreadable(StatusCode::OK, &headers).is_some());
    }

    #[test]
    fn a_part_of_an_answer_cannot_be_looked_into() {
        let mut headers = HeaderMap::new();
        assert!(unreadable(StatusCode::OK, &headers).is_none());
        assert!(unreadable(StatusCode::PARTIAL_CONTENT, &headers).is_some());
        headers.append(CONTENT_RANGE, "bytes 0-1/9".parse().unwrap());
        assert!(unreadable(StatusCode::OK, &headers).is_some());
    }
}
