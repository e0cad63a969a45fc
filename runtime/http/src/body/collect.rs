//! Reading a whole body, within a size and a time.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::BodyError;

/// Buffers grow from what has arrived, not from what a header claims.
const FIRST_BUFFER_BYTES: usize = 64 * 1024;

/// Reads the body to its end. A declared length above `max_bytes` is refused before anything is read; trailer fields
/// are dropped. A body that arrives in one piece is not copied.
///
/// # Errors
/// [`BodyError::TooLarge`], [`BodyError::TimedOut`] at `deadline`, or why the body broke.
pub async fn collect_bounded<B>(body: B, max_bytes: usize, deadline: Instant) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    let too_large = BodyError::TooLarge { limit_bytes: max_bytes as u64 };
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large);
    }
    timeout_at(deadline, collect(body, max_bytes)).await.map_err(|_| BodyError::TimedOut)?
}

async fn collect<B>(body: B, max_bytes: usize) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Into::into)?.into_data() else {
            continue;
        };
        if data.len() > max_bytes - first.len() - rest.len() {
            return Err(BodyError::TooLarge { limit_bytes: max_bytes as u64 });
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve((first.len() + data.len()).max(FIRST_BUFFER_BYTES.min(max_bytes)));
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::body::Body;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    async fn streamed(pieces: &[&'static str]) -> Body {
        let (sender, body) = Body::channel(pieces.len());
        for piece in pieces {
            sender.send(*piece).await.unwrap();
        }
        sender.finish();
        body
    }

    #[tokio::test]
    async fn pieces_are_joined_up_to_the_limit_exactly() {
        assert_eq!(collect_bounded(streamed(&["ab", "", "cd"]).await, 4, soon()).await.unwrap(), "abcd");
        let error = collect_bounded(streamed(&["ab", "cd", "e"]).await, 4, soon()).await.unwrap_err();
        assert_eq!(error, BodyError::TooLarge { limit_bytes: 4 });
        assert_eq!(collect_bounded(Body::empty(), 0, soon()).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_declared_length_above_the_limit_is_refused_unread() {
        let error = collect_bounded(Body::full("abcde"), 4, soon()).await.unwrap_err();
        assert_eq!(error, BodyError::TooLarge { limit_bytes: 4 });
    }

    #[tokio::test]
    async fn a_body_that_never_ends_times_out() {
        let (sender, body) = Body::channel(1);
        sender.send("a").await.unwrap();
        assert_eq!(collect_bounded(body, 4, Instant::now()).await.unwrap_err(), BodyError::TimedOut);
    }

    #[tokio::test]
    async fn a_producer_that_dies_leaves_no_complete_body() {
        let (sender, body) = Body::channel(1);
        sender.send("a").await.unwrap();
        drop(sender);
        assert!(matches!(collect_bounded(body, 4, soon()).await, Err(BodyError::Broken(_))));
    }
}
