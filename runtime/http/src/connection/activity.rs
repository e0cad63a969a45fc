//! What a connection is doing, as far as its watchdog must know.
//!
//! Written by the IO wrapper, requests and responses, read by the driver. Times are milliseconds since the connection began.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::waits::{Response, Waits};
use crate::limits::Limits;

/// No such moment.
const NEVER: u64 = u64::MAX;

/// The doings of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    began: Instant,
    in_flight: AtomicUsize,
    idle_since_ms: AtomicU64,
    head_since_ms: AtomicU64,
    blocked_since_ms: AtomicU64,
    waits: Waits,
    http2: AtomicBool,
}

/// A moment's reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    in_flight: usize,
    idle_since_ms: u64,
    head_since_ms: u64,
    blocked_since_ms: u64,
    /// No response waits for the peer since before this.
    waiting_bound_ms: u64,
}

/// What the watchdog does when a time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    Idle,
    SlowHeaders,
    Stalled,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            in_flight: AtomicUsize::new(0),
            idle_since_ms: AtomicU64::new(0),
            head_since_ms: AtomicU64::new(NEVER),
            blocked_since_ms: AtomicU64::new(NEVER),
            waits: Waits::new(),
            http2: AtomicBool::new(false),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER)
    }

    pub(crate) fn at(&self, ms: u64) -> Instant {
        self.began + Duration::from_millis(ms)
    }

    /// Bytes arrived. Outside of requests they open an HTTP/1 header section; HTTP/2 has frames that belong to none.
    pub(crate) fn bytes_read(&self, bytes: &[u8]) {
        if self.in_flight.load(Ordering::Acquire) > 0 || self.http2.load(Ordering::Relaxed) {
            return;
        }
        if bytes.starts_with(b"PRI ") {
            self.http2.store(true, Ordering::Relaxed);
        } else if self.head_since_ms.load(Ordering::Relaxed) == NEVER {
            self.head_since_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    pub(crate) fn write_blocked(&self, blocked: bool) {
        let known = self.blocked_since_ms.load(Ordering::Relaxed) != NEVER;
        if blocked != known {
            self.blocked_since_ms.store(if blocked { self.now_ms() } else { NEVER }, Ordering::Relaxed);
        }
    }

    /// A request began; it lasts until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>, http2: bool) -> InFlight {
        if http2 {
            self.http2.store(true, Ordering::Relaxed);
        }
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.head_since_ms.store(NEVER, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            in_flight: self.in_flight.load(Ordering::Acquire),
            idle_since_ms: self.idle_since_ms.load(Ordering::Acquire),
            head_since_ms: self.head_since_ms.load(Ordering::Relaxed),
            blocked_since_ms: self.blocked_since_ms.load(Ordering::Relaxed),
            waiting_bound_ms: self.waits.bound_ms(),
        }
    }

    /// Finds out since when responses wait; snapshots know only a bound, which grows old.
    pub(crate) fn tighten(&self) {
        self.waits.tighten();
    }
}

/// A request between its headers and the end of its response's body.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

/// A response that the watchdog follows until its last byte left; shared by its body and the pieces of it.
#[derive(Clone, Debug)]
pub(crate) struct Tracked(Arc<Tracking>);

#[derive(Debug)]
struct Tracking {
    activity: Arc<Activity>,
    response: Arc<Response>,
}

/// A reason to wait for the peer, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim(Tracked);

impl InFlight {
    /// Follows the request's response.
    pub(crate) fn track(&self) -> Tracked {
        let activity = Arc::clone(&self.0);
        let response = activity.waits.add();
        Tracked(Arc::new(Tracking { activity, response }))
    }
}

impl Tracked {
    pub(crate) fn claim(&self) -> Claim {
        let Tracking { activity, response } = &*self.0;
        activity.waits.claim(response, activity.now_ms());
        Claim(self.clone())
    }
}

impl Claim {
    /// Bytes left for the peer.
    pub(crate) fn progress(&self) {
        let Tracking { activity, response } = &*self.0.0;
        response.progress(activity.now_ms());
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.0.response.unclaim();
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.activity.waits.remove(&self.response);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since_ms.store(self.0.now_ms(), Ordering::Release);
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Snapshot {
    /// The next alarm and when it is due; None while requests are in flight, writes go through and no response waits
    /// for the peer. [`Alarm::Stalled`] may be early by as much as the bound is old.
    pub(crate) fn next_alarm(&self, limits: &Limits) -> Option<(u64, Alarm)> {
        let after =
            |since_ms: u64, wait: Duration| since_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(NEVER));
        let stalled_since_ms = self.blocked_since_ms.min(self.waiting_bound_ms);
        let stalled =
            (stalled_since_ms != NEVER).then(|| (after(stalled_since_ms, limits.write_stall), Alarm::Stalled));
        let without_request = (self.in_flight == 0).then(|| match self.head_since_ms {
            NEVER => (after(self.idle_since_ms, limits.idle), Alarm::Idle),
            since_ms => (after(since_ms, limits.header_read), Alarm::SlowHeaders),
        });
        stalled.into_iter().chain(without_request).min_by_key(|(due_ms, _)| *due_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            header_read: Duration::from_millis(100),
            idle: Duration::from_millis(1_000),
            write_stall: Duration::from_millis(500),
            ..Limits::default()
        }
    }

    #[test]
    fn alarms_follow_what_the_connection_does() {
        let idle = Snapshot {
            in_flight: 0,
            idle_since_ms: 10,
            head_since_ms: NEVER,
            blocked_since_ms: NEVER,
            waiting_bound_ms: NEVER,
        };
        assert_eq!(idle.next_alarm(&limits()), Some((1_010, Alarm::Idle)));
        let head = Snapshot { head_since_ms: 20, ..idle };
        assert_eq!(head.next_alarm(&limits()), Some((120, Alarm::SlowHeaders)));
        let busy = Snapshot { in_flight: 1, ..idle };
        assert_eq!(busy.next_alarm(&limits()), None);
        let stalled = Snapshot { blocked_since_ms: 30, ..busy };
        assert_eq!(stalled.next_alarm(&limits()), Some((530, Alarm::Stalled)));
        let untaken = Snapshot { waiting_bound_ms: 20, ..stalled };
        assert_eq!(untaken.next_alarm(&limits()), Some((520, Alarm::Stalled)));
        let both = Snapshot { blocked_since_ms: 30, ..head };
        assert_eq!(both.next_alarm(&limits()), Some((120, Alarm::SlowHeaders)));
    }

    #[tokio::test]
    async fn frames_between_http2_requests_open_no_header_section() {
        let activity = Arc::new(Activity::new());
        activity.bytes_read(b"PRI * HTTP/2.0\r\n");
        activity.bytes_read(b"\0\0\0");
        assert_eq!(activity.snapshot().head_since_ms, NEVER);
        let request = activity.begin(true);
        assert_eq!(activity.snapshot().in_flight, 1);
        drop(request);
        assert_eq!(activity.snapshot().in_flight, 0);
    }

    #[tokio::test]
    async fn a_header_section_begins_with_its_first_byte_and_ends_with_the_request() {
        let activity = Arc::new(Activity::new());
        activity.bytes_read(b"G");
        assert_ne!(activity.snapshot().head_since_ms, NEVER);
        let _request = activity.begin(false);
        assert_eq!(activity.snapshot().head_since_ms, NEVER);
        activity.bytes_read(b"body");
        assert_eq!(activity.snapshot().head_since_ms, NEVER);
    }
}
