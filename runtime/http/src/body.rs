//! One body type for requests and responses, in and out.
//!
//! It is an enum rather than a box, so that a cached answer costs no allocation and an upstream's body passes through
//! as it is. It also carries what must happen when the exchange ends, whoever ends it.

mod channel;
mod collect;
mod error;
mod finish;
mod limited;
mod received;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

pub use channel::{BodySender, Disconnected};
pub use collect::collect_bounded;
pub use error::BodyError;
pub use finish::Finish;
use finish::Hook;
use limited::Limited;
use received::Received;

/// The body of a request or a response.
#[derive(Debug, Default)]
pub struct Body {
    kind: Kind,
    hook: Option<Hook>,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Received(Received),
    Channel(channel::Receiver),
    Boxed(UnsyncBoxBody<Bytes, BodyError>),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Bytes that are all there; nothing is allocated or copied.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Kind::Full(bytes).into() }
    }

    /// A body that is produced while it is sent. At most `buffer` frames (at least one) wait between the two ends.
    /// A sender that is dropped before [`BodySender::finish`] breaks the body off: it never looks complete.
    #[must_use]
    pub fn channel(buffer: usize) -> (BodySender, Self) {
        let (sender, receiver) = channel::channel(buffer);
        (sender, Kind::Channel(receiver).into())
    }

    /// Any other body.
    pub fn boxed<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        Kind::Boxed(body.map_err(Into::into).boxed_unsync()).into()
    }

    /// The same body, broken off with [`BodyError::TooLarge`] after `max_bytes` and with [`BodyError::TimedOut`] when
    /// its source is silent for `idle` while somebody waits for it.
    #[must_use]
    pub fn limited(self, max_bytes: u64, idle: Duration) -> Self {
        match self.kind {
            // Nothing to wait for, and the size is known to whoever made it.
            Kind::Empty => self,
            _ => Self::boxed(Limited::new(self, max_bytes, idle)),
        }
    }

    /// The body of a request: over HTTP/2 the rest of one that nobody reads is read for a moment, lest its response be
    /// lost.
    pub(crate) fn of_request(incoming: Incoming, http2: bool) -> Self {
        let received = if http2 { Received::lingering(incoming) } else { Received::new(incoming) };
        Kind::Received(received).into()
    }

    /// Calls `call` once when the body is done with: sent to its end, broken, or abandoned by its reader. A second
    /// hook is called after the first.
    #[must_use]
    pub fn on_finish(mut self, call: impl FnOnce(Finish) + Send + 'static) -> Self {
        self.hook = Some(match self.hook.take() {
            Some(hook) => hook.and_then(call),
            None => Hook::new(call),
        });
        self.note_end();
        self
    }

    /// The bytes, if they are all there already and nothing was read from the body.
    #[must_use]
    pub fn as_full(&self) -> Option<&Bytes> {
        match &self.kind {
            Kind::Full(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The body of a response that sends no bytes whatever its body holds (HEAD, 204, 304): leaving them unread counts
    /// as completed.
    pub(crate) fn unsent(mut self) -> Self {
        if let Some(hook) = &mut self.hook {
            hook.complete();
        }
        self
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Received(received) => received.poll_frame(cx).map_err(BodyError::from),
            Kind::Channel(receiver) => receiver.poll_frame(cx),
            Kind::Boxed(boxed) => Pin::new(boxed).poll_frame(cx),
        }
    }

    fn note_end(&mut self) {
        let ended = self.is_end_stream();
        if ended && let Some(hook) = &mut self.hook {
            hook.complete();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(this.poll_kind(cx));
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                if let Some(hook) = &mut this.hook {
                    hook.add_bytes(length as u64);
                }
                this.note_end();
            }
            Some(Err(_)) => {}
            None => {
                if let Some(hook) = &mut this.hook {
                    hook.complete();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) | Kind::Channel(_) => false,
            Kind::Received(received) => received.is_end_stream(),
            Kind::Boxed(boxed) => boxed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Channel(_) => SizeHint::default(),
            Kind::Received(received) => received.size_hint(),
            Kind::Boxed(boxed) => boxed.size_hint(),
        }
    }
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, hook: None }
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Kind::Received(Received::new(incoming)).into()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::full(text)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::full(text)
    }
}
