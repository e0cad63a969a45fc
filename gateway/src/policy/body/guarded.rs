//! An answer to a request whose body still streams through plugins: whoever is behind may answer before it has read
//! all of it, and what a plugin refuses later must not end in an answer that looks complete.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use forebay_http::{Body, BodyError};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::Fault;

/// The body of an answer, cut where a plugin refused the request's body.
pub(crate) fn guarded(body: Body, fault: &Fault) -> Body {
    // With nobody at its other end there is nothing to come: no plugin looks, or the body ended.
    let settled = Arc::strong_count(fault) == 1 && fault.lock().is_none();
    if settled || body.is_end_stream() {
        return body;
    }
    Body::boxed(Guarded { body, fault: Arc::clone(fault), cut: false })
}

struct Guarded {
    body: Body,
    fault: Fault,
    cut: bool,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.cut {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let Some(reason) = this.fault.lock().as_ref().map(|refusal| refusal.reason()) else {
            return Poll::Ready(frame);
        };
        this.cut = true;
        Poll::Ready(Some(Err(BodyError::Broken(format!("the request's body was stopped by policy: {reason}")))))
    }

    /// Not before its reader has asked for more than there is: a fault may still come.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use forebay_http::ProblemType;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::error::Refusal;

    #[tokio::test]
    async fn a_fault_that_comes_later_cuts_the_answer() {
        let fault = Fault::default();
        let other_end = Arc::clone(&fault);
        let (sender, body) = Body::channel(2);
        let mut body = guarded(body, &fault);
        sender.send("good").await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        *other_end.lock() = Some(Refusal::new(ProblemType::Forbidden, "no"));
        sender.finish();
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn without_a_fault_to_come_it_is_the_same_body() {
        assert!(guarded(Body::full("all"), &Fault::default()).as_full().is_some());
    }
}
