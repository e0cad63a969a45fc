//! Since when responses wait for their peer, as a connection's watchdog must know.
//!
//! An HTTP/2 peer can hold a response for ever without blocking the socket: it gives the stream no window (RFC 9113
//! section 6.9). What is counted here are claims: things of a response that only the peer's taking bytes can end. A
//! response waits while it has any, and its wait begins anew whenever bytes of it leave. Times come from the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// No such moment.
const NEVER: u64 = u64::MAX;

/// The responses of one connection; at most as many as it may have streams.
#[derive(Debug)]
pub(super) struct Waits {
    /// No wait is older, though the oldest may be younger: waits that end are not told.
    bound_ms: AtomicU64,
    responses: Mutex<Vec<Arc<Response>>>,
}

/// One response. Claims are made by the stream's task only, and ended by any.
#[derive(Debug, Default)]
pub(super) struct Response {
    claims: AtomicUsize,
    since_ms: AtomicU64,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self { bound_ms: AtomicU64::new(NEVER), responses: Mutex::default() }
    }

    pub(super) fn add(&self) -> Arc<Response> {
        let response = Arc::new(Response::default());
        self.responses.lock().push(Arc::clone(&response));
        response
    }

    pub(super) fn remove(&self, response: &Arc<Response>) {
        let mut responses = self.responses.lock();
        if let Some(at) = responses.iter().position(|known| Arc::ptr_eq(known, response)) {
            responses.swap_remove(at);
        }
    }

    /// One more reason to wait.
    pub(super) fn claim(&self, response: &Response, now_ms: u64) {
        if response.claims.load(Ordering::SeqCst) == 0 {
            response.since_ms.store(now_ms, Ordering::SeqCst);
        }
        // Asked again, since the last claim may have ended in between.
        if response.claims.fetch_add(1, Ordering::SeqCst) == 0 {
            self.bound_ms.fetch_min(response.since_ms.load(Ordering::SeqCst), Ordering::SeqCst);
        }
    }

    /// No response waits since before this; [`u64::MAX`] if none waits.
    pub(super) fn bound_ms(&self) -> u64 {
        self.bound_ms.load(Ordering::SeqCst)
    }

    /// Looks at every response, to make the bound true.
    pub(super) fn tighten(&self) {
        // Forgotten first: whoever begins to wait while we look either is seen or lowers the bound after this.
        self.bound_ms.store(NEVER, Ordering::SeqCst);
        let oldest_ms = self.responses.lock().iter().filter_map(|response| response.waiting_since_ms()).min();
        if let Some(oldest_ms) = oldest_ms {
            self.bound_ms.fetch_min(oldest_ms, Ordering::SeqCst);
        }
    }
}

impl Response {
    /// Bytes left for the peer.
    pub(super) fn progress(&self, now_ms: u64) {
        self.since_ms.store(now_ms, Ordering::SeqCst);
    }

    pub(super) fn unclaim(&self) {
        self.claims.fetch_sub(1, Ordering::SeqCst);
    }

    fn waiting_since_ms(&self) -> Option<u64> {
        (self.claims.load(Ordering::SeqCst) > 0).then(|| self.since_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oldest_ms(waits: &Waits) -> u64 {
        waits.tighten();
        waits.bound_ms()
    }

    #[test]
    fn a_wait_begins_with_the_first_claim_or_the_last_progress() {
        let waits = Waits::new();
        let response = waits.add();
        assert_eq!(oldest_ms(&waits), NEVER);
        waits.claim(&response, 10);
        waits.claim(&response, 20);
        assert_eq!(waits.bound_ms(), 10);
        response.progress(30);
        assert_eq!((waits.bound_ms(), oldest_ms(&waits)), (10, 30));
        response.unclaim();
        assert_eq!(oldest_ms(&waits), 30);
        response.unclaim();
        assert_eq!(oldest_ms(&waits), NEVER);
        waits.claim(&response, 40);
        assert_eq!(waits.bound_ms(), 40);
    }

    #[test]
    fn one_stuck_response_is_not_hidden_by_others() {
        let waits = Waits::new();
        let (stuck, busy) = (waits.add(), waits.add());
        waits.claim(&stuck, 10);
        waits.claim(&busy, 5);
        busy.progress(1_000);
        assert_eq!(oldest_ms(&waits), 10);
        waits.remove(&stuck);
        assert_eq!(oldest_ms(&waits), 1_000);
        waits.remove(&busy);
        assert_eq!(oldest_ms(&waits), NEVER);
    }
}
