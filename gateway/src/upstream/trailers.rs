//! Trailers on their way through: only those that a recipient may merge into the head without reading another message
//! (RFC 9110, section 6.5.1). What may not stand in a head that policies judged does not come in behind its body.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use forebay_http::{Body, BodyError};
use http::{HeaderMap, HeaderName};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::proxy::{HOP_BY_HOP, is_claim};
use crate::policy::view::RequestFacts;

/// Fields that frame or route a message, say who asks, or change how the message is read, beside those of the connection.
const HEAD_ONLY: [&str; 36] = [
    "accept-ranges",
    "age",
    "allow",
    "authentication-info",
    "authorization",
    "cache-control",
    "clear-site-data",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "dpop",
    "dpop-nonce",
    "expect",
    "expires",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "trailer",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

/// Which trailers may go on.
pub(crate) enum Trailers {
    /// None: plugins look into the body, and no plugin into what stands behind it.
    None,
    /// Those of a request that say nothing anew that is said in its head, as policies left it.
    Beside(Arc<RequestFacts>),
    /// Those of an answer.
    OfAnswer,
}

impl Trailers {
    /// The same body with no other trailers than these.
    pub(crate) fn of(self, body: Body) -> Body {
        if body.is_end_stream() || body.as_full().is_some() {
            return body;
        }
        Body::boxed(Trimmed { body, trailers: self })
    }

    fn trim(&self, trailers: HeaderMap) -> HeaderMap {
        let mut kept = trailers;
        let named: Vec<HeaderName> = kept.keys().filter(|name| !self.lets(name)).cloned().collect();
        for name in named {
            kept.remove(name);
        }
        kept
    }

    fn lets(&self, name: &HeaderName) -> bool {
        let harmless = !is_claim(name) && !HOP_BY_HOP.contains(name) && !HEAD_ONLY.contains(&name.as_str());
        match self {
            Self::None => false,
            Self::Beside(facts) => harmless && !facts.headers.contains_key(name),
            Self::OfAnswer => harmless,
        }
    }
}

struct Trimmed {
    body: Body,
    trailers: Trailers,
}

impl HttpBody for Trimmed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            rest => return Poll::Ready(rest),
        };
        match frame.into_trailers() {
            Ok(trailers) => {
                let kept = this.trailers.trim(trailers);
                // Nothing follows trailers.
                Poll::Ready((!kept.is_empty()).then(|| Ok(Frame::trailers(kept))))
            }
            Err(frame) => Poll::Ready(Some(Ok(frame))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::BodyExt as _;

    use super::*;

    async fn through(trailers: Trailers, names: &[&str]) -> Vec<String> {
        let (sender, body) = Body::channel(2);
        sender.send("data").await.unwrap();
        let fields = names.iter().map(|name| (name.parse().unwrap(), "1".parse().unwrap())).collect();
        sender.send_trailers(fields).await.unwrap();
        sender.finish();
        let whole = trailers.of(body).collect().await.unwrap();
        let left = whole.trailers().map(|left| left.keys().map(ToString::to_string).collect());
        assert_eq!(whole.to_bytes(), "data");
        left.unwrap_or_default()
    }

    #[tokio::test]
    async fn only_what_may_stand_behind_a_body_goes_on() {
        let names =
            ["x-check", "forwarded", "x-forwarded-for", "forebay-tenant", "authorization", "content-length", "te"];
        assert_eq!(through(Trailers::OfAnswer, &names).await, ["x-check"]);
        assert!(through(Trailers::OfAnswer, &["cookie", "host"]).await.is_empty());
        assert!(through(Trailers::None, &names).await.is_empty());
    }

    #[test]
    fn the_list_is_sorted_and_says_nothing_twice() {
        assert!(HEAD_ONLY.is_sorted_by(|one, next| one < next));
    }
}
