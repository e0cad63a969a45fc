//! A body that is produced while it is sent.
//!
//! Unlike a plain channel, the end must be declared: a producer that dies half-way leaves a body that is visibly cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::mpsc;

use super::BodyError;

type Item = Result<Frame<Bytes>, BodyError>;

/// The reader of the body is gone; there is nobody to produce for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reader of the body is gone")]
pub struct Disconnected;

/// The producing end of [`super::Body::channel`].
#[derive(Debug)]
pub struct BodySender {
    frames: mpsc::Sender<Item>,
    finished: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(super) struct Receiver {
    frames: mpsc::Receiver<Item>,
    finished: Arc<AtomicBool>,
    ended: bool,
}

pub(super) fn channel(buffer: usize) -> (BodySender, Receiver) {
    let (sender, receiver) = mpsc::channel(buffer.max(1));
    let finished = Arc::new(AtomicBool::new(false));
    let reading = Arc::clone(&finished);
    (BodySender { frames: sender, finished }, Receiver { frames: receiver, finished: reading, ended: false })
}

impl BodySender {
    /// Sends data, waiting while the buffer is full.
    ///
    /// # Errors
    /// [`Disconnected`] if the reader is gone.
    pub async fn send(&self, data: impl Into<Bytes>) -> Result<(), Disconnected> {
        self.frames.send(Ok(Frame::data(data.into()))).await.map_err(|_| Disconnected)
    }

    /// Sends trailer fields, waiting while the buffer is full. Data must not follow them.
    ///
    /// # Errors
    /// [`Disconnected`] if the reader is gone.
    pub async fn send_trailers(&self, trailers: HeaderMap) -> Result<(), Disconnected> {
        self.frames.send(Ok(Frame::trailers(trailers))).await.map_err(|_| Disconnected)
    }

    /// Waits until the reader is gone, to stop work that nobody waits for.
    pub async fn disconnected(&self) {
        self.frames.closed().await;
    }

    /// Declares the body complete.
    pub fn finish(self) {
        self.finished.store(true, Ordering::Release);
    }

    /// Breaks the body off with a reason (for our own log: a peer only sees the cut), waiting while the buffer is full.
    pub async fn abort(self, reason: BodyError) {
        // A reader that is gone needs no reason.
        let _ = self.frames.send(Err(reason)).await;
    }
}

impl Receiver {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = match std::task::ready!(self.frames.poll_recv(cx)) {
            Some(item) => Some(item),
            None if self.finished.load(Ordering::Acquire) => None,
            None => Some(Err(BodyError::Broken("its producer stopped before the end".to_owned()))),
        };
        self.ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}
