//! A body that a guest writes for somebody else. The guest may end before the body does, and the library that carries
//! its bytes takes that for the body's end; a cut body must not look complete.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use forebay_http::BodyError;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

/// Whether the guest that writes a body still runs.
#[derive(Clone, Debug)]
pub(crate) struct Alive(Arc<AtomicBool>);

/// Held while a guest runs. To be dropped before the guest is.
pub(crate) struct Running(Alive);

impl Alive {
    /// For a guest that is about to run.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Says that the guest has ended once the returned value is dropped.
    pub(crate) fn running(&self) -> Running {
        Running(self.clone())
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

/// A guest's body, bounded, whose end counts only while its guest runs.
pub(crate) struct Guarded {
    body: WasiBody,
    alive: Alive,
    left: u64,
    limit: u64,
}

impl Guarded {
    pub(crate) fn new(body: WasiBody, alive: Alive, max_bytes: u64) -> Self {
        Self { body, alive, left: max_bytes, limit: max_bytes }
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        Poll::Ready(match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                match this.left.checked_sub(bytes) {
                    Some(left) => {
                        this.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(BodyError::TooLarge { limit_bytes: this.limit })),
                }
            }
            Some(Err(error)) => Some(Err(broken(&error))),
            None if this.alive.get() => None,
            None => Some(Err(BodyError::Broken("its writer ended before it did".to_owned()))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.alive.get()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn broken(error: &Error) -> BodyError {
    BodyError::Broken(error.to_string())
}

/// What a guest learns of a body that broke.
pub(crate) fn told(error: &BodyError) -> Error {
    match error {
        BodyError::TooLarge { limit_bytes } => Error::HttpRequestBodySize(Some(*limit_bytes)),
        BodyError::TimedOut => Error::ConnectionReadTimeout,
        BodyError::Broken(_) => Error::ConnectionTerminated,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    fn body(bytes: &'static str) -> WasiBody {
        Full::new(Bytes::from_static(bytes.as_bytes())).map_err(Error::from).boxed_unsync()
    }

    #[tokio::test]
    async fn the_end_counts_only_while_the_writer_runs() {
        let alive = Alive::new();
        let running = alive.running();
        let whole = Guarded::new(body("abc"), alive.clone(), 3).collect().await.unwrap();
        assert_eq!(whole.to_bytes(), "abc");
        let mut cut = Guarded::new(body("abc"), alive, 3);
        assert!(cut.frame().await.unwrap().is_ok());
        drop(running);
        assert!(matches!(cut.frame().await, Some(Err(BodyError::Broken(_)))));
        assert!(!cut.is_end_stream());
    }

    #[tokio::test]
    async fn a_long_body_is_broken_off() {
        let alive = Alive::new();
        let _running = alive.running();
        let error = Guarded::new(body("abcd"), alive, 3).collect().await.unwrap_err();
        assert_eq!(error.to_string(), BodyError::TooLarge { limit_bytes: 3 }.to_string());
    }
}
