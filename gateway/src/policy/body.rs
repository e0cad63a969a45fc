//! Bodies in the hands of plugins: whole, or part by part while they stream.
//!
//! A plugin that looks into bodies must not be got around: where one does, a content coding that it could not read is
//! refused, and a range of something that it would have to see whole is not asked for.

mod events;
mod messages;
mod streaming;

use std::sync::Arc;

use bytes::Bytes;
use forebay_http::{Body, ProblemType};
use forebay_policy::{Context, Part, PartKind, Phase, Plugin, Side};
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName};
use http_body::Body as _;

use super::Chain;
use crate::error::Refusal;
use streaming::Streaming;

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

/// Refuses a content coding, behind which no plugin could look.
///
/// # Errors
/// 415 for a request's.
pub(crate) fn check_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    if !is_coded(headers) {
        return Ok(());
    }
    let detail = "this route takes bodies without a content coding only: its policies look into them";
    Err(Refusal::new(ProblemType::UnsupportedEncoding, detail))
}

/// Whether the body has a content coding.
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
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
        assert!(check_coding(&headers).is_ok());
        headers.append(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(check_coding(&headers).is_err());
    }
}
