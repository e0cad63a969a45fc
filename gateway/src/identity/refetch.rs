//! When an issuer's keys are fetched because a token names one that is not known: at most once in a while, one at a
//! time, in a task that no client can call off, and with a bounded number of requests that wait for it.

use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

/// Shortest time between two fetches that tokens ask for, so that nobody can make us hammer an issuer.
pub(super) const REFETCH_GAP: Duration = Duration::from_secs(10);
/// Requests that may wait for one issuer's keys. Each holds a place among the requests in work.
const WAITING_MAX: usize = 64;

/// How asking for newer keys went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refetched {
    /// They are as new as they get: just fetched, fetched a moment ago, or from a file.
    Newest,
    /// Newer ones may exist, but could not be had, or too many wait for them already.
    Unavailable,
}

/// What a request that asks for newer keys does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Begin,
    Wait,
    TooSoon,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fetching {
    running: bool,
    began: Option<Instant>,
}

impl Fetching {
    fn turn(&mut self, now: Instant) -> Turn {
        if self.running {
            return Turn::Wait;
        }
        if self.began.is_some_and(|began| now.saturating_duration_since(began) < REFETCH_GAP) {
            return Turn::TooSoon;
        }
        *self = Self { running: true, began: Some(now) };
        Turn::Begin
    }
}

/// The fetches of one issuer that tokens asked for.
pub(super) struct Refetch {
    fetching: watch::Sender<Fetching>,
    places: Semaphore,
}

impl Refetch {
    pub(super) fn new() -> Self {
        Self { fetching: watch::Sender::default(), places: Semaphore::new(WAITING_MAX) }
    }

    /// Waits for the fetch that runs, after beginning one with `begin` if it is time. `begin` is given to a task of its
    /// own, so it must hold on to this and call [`Self::ended`] however it ends. False: too many wait.
    pub(super) async fn ask(&self, now: Instant, begin: impl FnOnce()) -> bool {
        let Ok(_place) = self.places.try_acquire() else { return false };
        let mut turn = Turn::TooSoon;
        self.fetching.send_if_modified(|fetching| {
            turn = fetching.turn(now);
            turn == Turn::Begin
        });
        match turn {
            Turn::TooSoon => return true,
            Turn::Begin => begin(),
            Turn::Wait => {}
        }
        // The sender lives as long as this does.
        let _ = self.fetching.subscribe().wait_for(|fetching| !fetching.running).await;
        true
    }

    /// The fetch has ended.
    pub(super) fn ended(&self) {
        self.fetching.send_modify(|fetching| fetching.running = false);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_fetch_at_a_time_and_none_too_soon() {
        let (mut fetching, now) = (Fetching::default(), Instant::now());
        assert_eq!(fetching.turn(now), Turn::Begin);
        assert_eq!(fetching.turn(now + REFETCH_GAP), Turn::Wait);
        fetching.running = false;
        assert_eq!(fetching.turn(now + REFETCH_GAP / 2), Turn::TooSoon);
        assert_eq!(fetching.turn(now + REFETCH_GAP), Turn::Begin);
    }

    #[tokio::test]
    async fn many_share_one_fetch_and_too_many_do_not_wait() {
        let (refetch, begun, now) = (Arc::new(Refetch::new()), Arc::new(AtomicUsize::new(0)), Instant::now());
        let ask = || {
            let (refetch, begun) = (Arc::clone(&refetch), Arc::clone(&begun));
            tokio::spawn(async move {
                let begin = || {
                    begun.fetch_add(1, Ordering::SeqCst);
                };
                refetch.ask(now, begin).await
            })
        };
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| ask()).collect();
        while refetch.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!ask().await.unwrap());
        refetch.ended();
        for one in waiting {
            assert!(one.await.unwrap());
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        // Too soon for another: nothing to wait for.
        assert!(ask().await.unwrap());
        assert_eq!(begun.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn whoever_leaves_does_not_make_room_for_another_fetch() {
        let (refetch, now) = (Refetch::new(), Instant::now());
        let left = tokio::time::timeout(Duration::ZERO, refetch.ask(now, || {})).await;
        assert!(left.is_err());
        refetch.ended();
        assert!(refetch.ask(now, || unreachable!("a second fetch")).await);
    }
}
