//! Who else has a part in how a request ends, beside the component: a client whose body has not come whole, and those
//! whom the component asked.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use forebay_http::{Body, BodyError};
use http_body::{Body as HttpBody, Frame, SizeHint};

/// What is known of the others. Clones know the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    asked: AtomicBool,
    /// The client's body has not come whole.
    waiting: AtomicBool,
}

impl Outside {
    /// The component asks somebody.
    pub(crate) fn asked(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// Whether nobody but the component has a part in how the request ends.
    pub(crate) fn has_no_part(&self) -> bool {
        !self.0.asked.load(Ordering::Relaxed) && !self.0.waiting.load(Ordering::Relaxed)
    }

    /// The client's body, watched to its end.
    pub(crate) fn watch(&self, body: Body) -> Body {
        if body.is_end_stream() || body.as_full().is_some() {
            return body;
        }
        self.0.waiting.store(true, Ordering::Relaxed);
        Body::boxed(Watched { body, outside: self.clone() })
    }
}

struct Watched {
    body: Body,
    outside: Outside,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        let is_whole = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if is_whole {
            this.outside.0.waiting.store(false, Ordering::Relaxed);
        }
        polled
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

    #[tokio::test]
    async fn a_client_has_a_part_until_its_body_is_whole() {
        let outside = Outside::default();
        drop(outside.watch(Body::empty()));
        assert!(outside.has_no_part());
        let (sender, body) = Body::channel(2);
        let body = outside.watch(body);
        assert!(!outside.has_no_part());
        sender.send("all").await.unwrap();
        sender.finish();
        body.collect().await.unwrap();
        assert!(outside.has_no_part());
        outside.asked();
        assert!(!outside.has_no_part());
    }

    #[tokio::test]
    async fn a_body_that_breaks_was_never_whole() {
        let outside = Outside::default();
        let (sender, body) = Body::channel(2);
        let body = outside.watch(body);
        drop(sender);
        assert!(body.collect().await.is_err() && !outside.has_no_part());
    }
}
