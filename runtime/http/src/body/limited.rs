//! Limits on a body that passes through.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{Body, BodyError};

/// Counts bytes, and time only while its reader waits: a slow reader is not the source's fault.
pub(super) struct Limited {
    inner: Body,
    limit_bytes: u64,
    left_bytes: u64,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    broken: bool,
}

impl Limited {
    pub(super) fn new(inner: Body, max_bytes: u64, idle: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(idle));
        Self { inner, limit_bytes: max_bytes, left_bytes: max_bytes, idle, timer, waiting: false, broken: false }
    }

    fn check(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(left) = self.left_bytes.checked_sub(length) else {
            return Err(BodyError::TooLarge { limit_bytes: self.limit_bytes });
        };
        self.left_bytes = left;
        Ok(frame)
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        if !self.waiting {
            self.waiting = true;
            self.timer.as_mut().reset(Instant::now() + self.idle);
        }
        self.timer.as_mut().poll(cx).map(|()| BodyError::TimedOut)
    }
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.broken {
            return Poll::Ready(None);
        }
        let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.waiting = false;
                frame.map(|frame| frame.and_then(|frame| this.check(frame)))
            }
            Poll::Pending => Some(Err(std::task::ready!(this.poll_idle(cx)))),
        };
        this.broken = matches!(frame, Some(Err(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::*;

    const IDLE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_silent_source_times_out() {
        let (_sender, body) = Body::channel(1);
        let mut body = body.limited(10, Duration::from_millis(5));
        assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::TimedOut);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn time_is_counted_only_while_the_reader_waits() {
        let (sender, body) = Body::channel(1);
        let mut body = Limited::new(body, 10, IDLE);
        assert!(body.frame().now_or_never().is_none());
        assert!(body.waiting);
        sender.send("a").await.unwrap();
        body.frame().await.unwrap().unwrap();
        assert!(!body.waiting);
    }

    #[tokio::test]
    async fn bytes_over_the_limit_break_the_body() {
        let (sender, body) = Body::channel(2);
        let mut body = body.limited(3, IDLE);
        sender.send("abc").await.unwrap();
        sender.send("d").await.unwrap();
        body.frame().await.unwrap().unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::TooLarge { limit_bytes: 3 });
    }
}
