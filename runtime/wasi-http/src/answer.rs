//! What a guest answers, on its way out: the head held to its limits, the body moved piece by piece while its guest
//! runs. A body that does not reach its end is broken off, never ended.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use forebay_http::{Body, BodyError, BodySender};
use http::{Response, StatusCode};
use http_body::{Body as _, Frame};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::error::Failure;
use crate::hooks::within;
use crate::limits::CallLimits;

/// Pieces of a body that wait between guest and client.
const PIECES: usize = 2;

/// Where the head of a response goes.
pub(crate) type Head = oneshot::Sender<Result<Response<Body>, Failure>>;

/// A response on its way from a guest to its client.
pub(crate) struct Answer {
    body: WasiBody,
    out: BodySender,
    left: u64,
    limit: u64,
}

impl Answer {
    /// Sends the head on.
    ///
    /// # Errors
    /// It is none that may be sent, or there is nobody to send it to.
    pub(crate) fn begin(
        response: Response<WasiBody>,
        head: Head,
        limits: &CallLimits,
    ) -> Result<Self, (Failure, Option<Head>)> {
        let checked = check(&response, limits).map_err(Failure::BadResponse);
        if let Err(failure) = checked {
            return Err((failure, Some(head)));
        }
        let (out, to_client) = Body::channel(PIECES);
        let (parts, body) = response.into_parts();
        head.send(Ok(Response::from_parts(parts, to_client))).map_err(|_| (Failure::Abandoned, None))?;
        Ok(Self { body, out, left: limits.body_bytes, limit: limits.body_bytes })
    }

    /// Moves the body to its end. Once `ended` says that the guest has ended, what is not there will not come.
    ///
    /// # Errors
    /// It has no end, or is longer than it may be, or its reader left. The body is broken off then.
    pub(crate) async fn pass(mut self, ended: impl Fn() -> bool) -> Result<(), Failure> {
        match self.move_all(ended).await {
            Ok(()) => {
                self.out.finish();
                Ok(())
            }
            Err(failure) => {
                self.out.abort(BodyError::Broken(failure.to_string())).await;
                Err(failure)
            }
        }
    }

    async fn move_all(&mut self, ended: impl Fn() -> bool) -> Result<(), Failure> {
        loop {
            let frame = tokio::select! {
                biased;
                () = self.out.disconnected() => return Err(Failure::Abandoned),
                frame = next_frame(&mut self.body, &ended) => frame?,
            };
            let Some(frame) = frame else { return Ok(()) };
            let sent = match frame.into_data() {
                Ok(data) => {
                    self.left = self.left.checked_sub(data.len() as u64).ok_or(Failure::BodyTooLarge(self.limit))?;
                    self.out.send(data).await
                }
                Err(other) => match other.into_trailers() {
                    Ok(trailers) => self.out.send_trailers(trailers).await,
                    Err(_) => Ok(()),
                },
            };
            sent.map_err(|_| Failure::Abandoned)?;
        }
    }
}

async fn next_frame(body: &mut WasiBody, ended: &impl Fn() -> bool) -> Result<Option<Frame<Bytes>>, Failure> {
    let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Pending if ended() => Poll::Ready(Some(Err(Error::HttpResponseIncomplete))),
        polled => polled,
    });
    frame.await.transpose().map_err(|error| Failure::Unfinished(error.to_string()))
}

fn check(response: &Response<WasiBody>, limits: &CallLimits) -> Result<(), String> {
    let status = response.status();
    // A final response; who switches protocols or answers twice is not spoken to here.
    if status < StatusCode::OK || status.as_u16() > 599 {
        return Err(format!("{} is not the status of a final response", status.as_u16()));
    }
    within(response.headers(), limits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    fn response(status: u16, body: &'static str) -> Response<WasiBody> {
        let body = Full::new(Bytes::from_static(body.as_bytes())).map_err(Error::from).boxed_unsync();
        Response::builder().status(status).body(body).unwrap()
    }

    fn limits() -> CallLimits {
        CallLimits { body_bytes: 3, ..CallLimits::default() }
    }

    #[tokio::test]
    async fn a_whole_body_ends_and_a_long_one_breaks() {
        for (text, whole) in [("abc", true), ("abcd", false)] {
            let (head, coming) = oneshot::channel();
            let answer = Answer::begin(response(200, text), head, &limits()).map_err(|_| ()).unwrap();
            let (passed, read) = tokio::join!(answer.pass(|| true), async {
                coming.await.unwrap().unwrap().into_body().collect().await
            });
            assert_eq!((passed.is_ok(), read.is_ok()), (whole, whole), "{text}");
        }
    }

    #[tokio::test]
    async fn a_body_whose_guest_has_ended_does_not_wait() {
        let (_sender, never) = Body::channel(1);
        let body = never.map_err(|error| crate::guarded::told(&error)).boxed_unsync();
        let (head, coming) = oneshot::channel();
        let answer = Answer::begin(Response::new(body), head, &limits()).map_err(|_| ()).unwrap();
        let (passed, read) =
            tokio::join!(answer.pass(|| true), async { coming.await.unwrap().unwrap().into_body().collect().await });
        assert!(matches!(passed, Err(Failure::Unfinished(_))));
        assert!(read.is_err());
    }

    #[test]
    fn only_final_responses_are_sent() {
        for status in [100, 101, 103, 600, 999] {
            assert!(check(&response(status, ""), &limits()).is_err(), "{status}");
        }
        for status in [200, 204, 404, 599] {
            assert!(check(&response(status, ""), &limits()).is_ok(), "{status}");
        }
    }
}
