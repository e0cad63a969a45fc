//! What a listener counts, for whoever exports metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Live counters of one listener; share it and call [`ListenerStats::counts`].
#[derive(Debug, Default)]
pub struct ListenerStats {
    pub(crate) accepted: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    pub(crate) full: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
    pub(crate) handshakes_timed_out: AtomicU64,
    pub(crate) idle_closed: AtomicU64,
    pub(crate) slow_headers: AtomicU64,
    pub(crate) write_stalls: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) requests_refused: AtomicU64,
    pub(crate) handler_panics: AtomicU64,
}

/// The counters at one moment; all but `open` only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerCounts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now, handshakes included.
    pub open: u64,
    /// Accepts that the operating system failed.
    pub accept_errors: u64,
    /// Times the connection limit made the listener stop accepting.
    pub full: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// TLS handshakes that took too long.
    pub handshakes_timed_out: u64,
    /// Connections closed because they were idle.
    pub idle_closed: u64,
    /// Connections cut because a request's headers took too long.
    pub slow_headers: u64,
    /// Connections cut because the peer stopped taking bytes: all of them, or over HTTP/2 those of one response.
    pub write_stalls: u64,
    /// Connections cut at the end of a drain.
    pub cut: u64,
    /// Requests received.
    pub requests: u64,
    /// Requests refused by the checks before the handler. What hyper refuses by itself (it does not parse, or its header
    /// section is too large for hyper) is not in here.
    pub requests_refused: u64,
    /// Requests whose handler panicked.
    pub handler_panics: u64,
}

impl ListenerStats {
    /// Reads all counters. They are read one by one, so sums may be off by what happens meanwhile.
    #[must_use]
    pub fn counts(&self) -> ListenerCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Closed before accepted, so that the difference is never negative.
        let closed = read(&self.closed);
        let accepted = read(&self.accepted);
        ListenerCounts {
            accepted,
            open: accepted.saturating_sub(closed),
            accept_errors: read(&self.accept_errors),
            full: read(&self.full),
            handshakes_failed: read(&self.handshakes_failed),
            handshakes_timed_out: read(&self.handshakes_timed_out),
            idle_closed: read(&self.idle_closed),
            slow_headers: read(&self.slow_headers),
            write_stalls: read(&self.write_stalls),
            cut: read(&self.cut),
            requests: read(&self.requests),
            requests_refused: read(&self.requests_refused),
            handler_panics: read(&self.handler_panics),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
