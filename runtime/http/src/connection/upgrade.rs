//! A connection that goes on in another protocol (RFC 9110, section 7.8), still within its listener's limits.
//!
//! What a handler wants done after its 101 runs in the connection's own task: it keeps the connection's place, is told
//! of the drain, is cut at its end, and leaves no task behind. HTTP/1.1 alone: over HTTP/2 a request has no connection
//! to switch.

use std::pin::Pin;
use std::sync::Arc;

use http::{Extensions, Request};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What is left of a connection once HTTP is done with it; nothing of what the peer sent after its request is lost.
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

type Next = Box<dyn FnOnce(Upgraded, CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What happens to a connection after HTTP, if anything; shared by its requests.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<(OnUpgrade, Next)>>>);

/// Found in the extensions of a request that asks for another protocol (`Upgrade`, over HTTP/1.1).
#[derive(Clone)]
pub struct Upgrade {
    on: OnUpgrade,
    slot: Slot,
}

impl Upgrade {
    /// Takes it out of a request's extensions. None: the request asks for no other protocol, or cannot have one.
    #[must_use]
    pub fn take(extensions: &mut Extensions) -> Option<Self> {
        extensions.remove()
    }

    /// Says what is done with the connection after the response, which must be 101 (Switching Protocols): with another
    /// one, `run` is dropped. The token is cancelled when the listener begins to drain; at the end of the drain the
    /// future is dropped.
    pub fn then<F, R>(self, run: F)
    where
        F: FnOnce(Upgraded, CancellationToken) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        *self.slot.0.lock() = Some((self.on, Box::new(|io, shutdown| Box::pin(run(io, shutdown)))));
    }
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

impl Slot {
    /// Puts [`Upgrade`] into the extensions of a request that asks for it.
    pub(super) fn offer(&self, request: &mut Request<Incoming>) {
        if request.headers().contains_key(http::header::UPGRADE) && request.version() == http::Version::HTTP_11 {
            let on = hyper::upgrade::on(&mut *request);
            request.extensions_mut().insert(Upgrade { on, slot: self.clone() });
        }
    }

    /// Runs what is to happen after HTTP. False: it was cut.
    pub(super) async fn run(&self, shutdown: &CancellationToken, cut: &CancellationToken) -> bool {
        let Some((on, next)) = self.0.lock().take() else {
            return true;
        };
        let after = async {
            // It fails where the response was no 101, or did not get out.
            if let Ok(upgraded) = on.await {
                next(TokioIo::new(upgraded), shutdown.clone()).await;
            }
        };
        tokio::select! {
            biased;
            () = cut.cancelled() => false,
            () = after => true,
        }
    }
}
