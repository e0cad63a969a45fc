//! A body that arrives, and what becomes of it when nobody reads it to its end.
//!
//! Over HTTP/2 a request that is refused early is still on its way when its stream ends, and the stream is then reset
//! (RFC 9113 section 8.1). Clients must not throw the response away for that, and some do: curl 7.88 shows a stream error
//! where it had been told 401. So the rest of a short body is read for a moment and forgotten. HTTP/1 needs no such thing:
//! hyper reads on or closes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

/// How much of an unwanted body is read.
const LINGER_BYTES: usize = 64 * 1024;
/// For how long.
const LINGER: Duration = Duration::from_secs(1);

/// A body as hyper gives it. Dropped unread over HTTP/2, the rest of it is read and forgotten, within bounds.
#[derive(Debug)]
pub(super) struct Received {
    /// None only while it is dropped.
    incoming: Option<Incoming>,
    lingers: bool,
}

impl Received {
    /// A response's body, or a request's over HTTP/1.
    pub(super) fn new(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), lingers: false }
    }

    /// A request's body over HTTP/2.
    pub(super) fn lingering(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), lingers: true }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let rest = self.incoming.take().filter(|incoming| self.lingers && !incoming.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(timeout(LINGER, forget(rest)));
        }
    }
}

async fn forget(mut rest: Incoming) {
    let mut left_bytes = LINGER_BYTES;
    while let Some(Ok(frame)) = rest.frame().await {
        match left_bytes.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(left) => left_bytes = left,
            None => return,
        }
    }
}
