//! How long a request may go on after its answer has begun: a stream of events, a download, a WebSocket.
//!
//! What let it in must still hold: it ends with its token, when the token is revoked, when its issuer is no longer
//! trusted, and after the longest time that any stream may take. What is cut never looks complete.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_http::{Body, BodyError};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;

use super::claims::Claims;
use super::{Identities, Identity, Lasting, Moment};

/// Time between two looks at what was revoked.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Why a request must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// Its token has expired.
    Expired,
    /// Its token was revoked.
    Revoked,
    /// The configuration does not name the token's issuer any more.
    UnknownIssuer,
    /// It took as long as a stream may.
    TooLong,
}

impl Over {
    /// What the log is told; a closed set.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Expired => "token-expired",
            Self::Revoked => "token-revoked",
            Self::UnknownIssuer => "token-unknown-issuer",
            Self::TooLong => "stream-too-long",
        }
    }
}

/// What let a request in, as far as it can change.
#[derive(Clone)]
pub(super) struct Standing {
    claims: Arc<Claims>,
    lasting: Arc<Lasting>,
}

impl Standing {
    /// The second, since 1970, at which the token ends.
    fn until_s(&self) -> u64 {
        self.claims.expires_s.saturating_add(self.claims.leeway_s)
    }

    /// Whether the token is still good at `now_s`, under the configuration that serves now.
    fn still_good(&self, now_s: u64) -> Result<(), Over> {
        if now_s >= self.until_s() {
            return Err(Over::Expired);
        }
        let (serving, subjects) = (self.lasting.serving.load(), &self.claims.subjects);
        if !serving.issuers.contains(&self.claims.issuer) {
            return Err(Over::UnknownIssuer);
        }
        match serving.revoked.has(subjects, now_s) || self.lasting.revoked.has(subjects, now_s) {
            true => Err(Over::Revoked),
            false => Ok(()),
        }
    }
}

/// How long one request may go on.
#[derive(Clone)]
pub(crate) struct Span {
    /// None: nobody was asked who it is.
    pub(super) standing: Option<Standing>,
    pub(super) ends: Instant,
}

impl Identities {
    /// These begin to serve: requests in work are held to what they say from now on.
    pub(crate) fn publish(&self) {
        self.lasting.serving.store(Arc::clone(&self.serving));
    }

    /// How long a request may go on, at most `longest`: as long as what `identity` says of it holds, if there are claims.
    pub(crate) fn span(&self, identity: Option<&Identity>, longest: Duration) -> Span {
        let claims = identity.and_then(|identity| identity.0.as_ref().ok());
        let standing = |claims| Standing { claims: Arc::clone(claims), lasting: Arc::clone(&self.lasting) };
        Span { standing: claims.map(standing), ends: Instant::now() + longest }
    }
}

/// Why a body was cut, once it was.
pub(crate) type Cut = Arc<OnceLock<Over>>;

impl Span {
    /// How long until it must be looked at again.
    ///
    /// # Errors
    /// It is over.
    pub(super) fn look(&self, now: Moment) -> Result<Duration, Over> {
        let left = self.ends.saturating_duration_since(now.at);
        if left.is_zero() {
            return Err(Over::TooLong);
        }
        let Some(standing) = &self.standing else { return Ok(left) };
        standing.still_good(now.s)?;
        let token = Duration::from_secs(standing.until_s().saturating_sub(now.s));
        Ok(left.min(token).min(LOOK_AGAIN))
    }

    /// Waits until it is over.
    pub(crate) async fn over(&self) -> Over {
        loop {
            match self.look(Moment::now()) {
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(over) => return over,
            }
        }
    }

    /// The same body, broken off when this is over; and why, once it was.
    pub(crate) fn hold(self, body: Body) -> (Body, Cut) {
        let cut = Cut::default();
        (Body::boxed(Held { body, span: self, timer: None, cut: Arc::clone(&cut) }), cut)
    }
}

/// A body under a span.
struct Held {
    body: Body,
    span: Span,
    /// None: it was not looked at yet.
    timer: Option<Pin<Box<Sleep>>>,
    cut: Cut,
}

impl Held {
    /// Ready only when it is over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
            }
            match self.span.look(Moment::now()) {
                Ok(wait) => self.timer = Some(Box::pin(tokio::time::sleep(wait))),
                Err(over) => return Poll::Ready(over),
            }
        }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.cut.get().is_some() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(over) = this.poll_over(cx) {
            let _ = this.cut.set(over);
            // Whoever makes it need not go on.
            this.body = Body::empty();
            return Poll::Ready(Some(Err(BodyError::Broken(over.reason().to_owned()))));
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.cut.get().is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
