//! The time that a guest computes, and has the host compute for it: what passes while its future is polled.
//!
//! A guest that streams wakes a thousand times to do a little, so ticks in which it ran would count far too much. This
//! is told the time and knows no guest.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{Failure, Stop};

/// The most that one stretch counts for. A guest that computes is met at each tick of a millisecond; a longer stretch is a
/// thread that lost its core, and a busy node must not fail its functions for that.
const MOST_AT_ONCE: Duration = Duration::from_millis(10);

/// What one instance has computed. Clones are the same count.
#[derive(Clone)]
pub(crate) struct Computing(Arc<Mutex<Count>>);

struct Count {
    left: Option<Duration>,
    since: Option<Instant>,
}

impl Computing {
    pub(crate) fn new(limit: Duration) -> Self {
        Self(Arc::new(Mutex::new(Count { left: Some(limit), since: None })))
    }

    /// Counts what has passed so far.
    ///
    /// # Errors
    /// It is more than the limit.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        self.0.lock().settle(Instant::now(), true)
    }

    /// Runs a guest's future and counts the time in which it is polled.
    pub(crate) async fn of<T>(&self, guest: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let mut guest = pin!(guest);
        poll_fn(|cx| {
            self.0.lock().since = Some(Instant::now());
            let polled = guest.as_mut().poll(cx);
            match (self.0.lock().settle(Instant::now(), false), polled) {
                (Err(_), Poll::Pending) => Poll::Ready(Err(Failure::Deadline)),
                (_, polled) => polled,
            }
        })
        .await
    }
}

impl Count {
    fn settle(&mut self, now: Instant, goes_on: bool) -> Result<(), Stop> {
        if let Some(since) = self.since.take() {
            let passed = now.saturating_duration_since(since).min(MOST_AT_ONCE);
            self.left = self.left.and_then(|left| left.checked_sub(passed));
        }
        self.since = goes_on.then_some(now);
        if self.left.is_some() { Ok(()) } else { Err(Stop::Deadline) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn only_time_inside_counts_and_no_stretch_for_much() {
        let start = Instant::now();
        let mut count = Count { left: Some(ms(20)), since: Some(start) };
        assert!(count.settle(start + ms(4), false).is_ok());
        // An hour outside, then five milliseconds inside.
        assert!(count.settle(start + ms(3_600_000), false).is_ok());
        count.since = Some(start + ms(3_600_000));
        assert!(count.settle(start + ms(3_600_005), true).is_ok());
        assert_eq!(count.left, Some(ms(11)));
        assert!(count.settle(start + ms(9_000_000), true).is_ok());
        assert_eq!(count.left, Some(ms(1)));
        assert_eq!(count.settle(start + ms(9_000_002), true), Err(Stop::Deadline));
        assert_eq!(count.settle(start + ms(9_000_003), true), Err(Stop::Deadline));
    }

    #[tokio::test]
    async fn waiting_is_free() {
        let computing = Computing::new(ms(20));
        let waited = computing
            .of(async {
                tokio::time::sleep(ms(60)).await;
                Ok(())
            })
            .await;
        assert_eq!(waited, Ok(()));
        assert!(computing.check().is_ok());
    }
}
