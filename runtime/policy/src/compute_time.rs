//! The time for which a guest computes, which bounds a call whatever else its thread does.
//!
//! The engine's clock ticks once a millisecond, and a guest that runs then yields to the other tasks of its thread. Between
//! two yields it may have run for a small part of a tick, so what counts is the time since it went on. It is told the time
//! and knows no guest.

use std::time::{Duration, Instant};

/// The most that one stretch counts for. A thread may lose its core, and the clock too: a busy node must not fail its plugins.
const MOST_AT_ONCE: Duration = Duration::from_millis(1);

/// What is left of a budget.
pub(crate) struct ComputeTime {
    budget: Duration,
    left: Duration,
    /// Whether it yielded at all. When it began is not known, so what it ran for until then is free, up to a tick.
    yielded: bool,
    since: Option<Instant>,
}

impl ComputeTime {
    pub(crate) fn new(budget: Duration) -> Self {
        Self { budget, left: budget, yielded: false, since: None }
    }

    /// The guest went on then.
    pub(crate) fn resume(&mut self, at: Instant) {
        self.since = self.since.max(Some(at));
    }

    /// The guest yields. False when its budget was used up before it.
    pub(crate) fn pause(&mut self, now: Instant) -> bool {
        let since = self.since.take();
        if !std::mem::replace(&mut self.yielded, true) {
            return true;
        }
        let passed = since.map_or(MOST_AT_ONCE, |since| now.saturating_duration_since(since).min(MOST_AT_ONCE));
        let rest = self.left.checked_sub(passed);
        self.left = rest.unwrap_or_default();
        rest.is_some()
    }

    /// How much of the budget was used.
    pub(crate) fn spent(&self) -> Duration {
        self.budget.saturating_sub(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn a_guest_that_is_alone_has_its_ticks_and_the_one_that_had_begun() {
        let (start, mut time) = (Instant::now(), ComputeTime::new(us(2_000)));
        let within: Vec<bool> = (1..5)
            .map(|tick| {
                let within = time.pause(start + us(1_000 * tick));
                time.resume(start + us(1_000 * tick));
                within
            })
            .collect();
        assert_eq!(within, [true, true, true, false]);
        assert_eq!(time.spent(), us(2_000));
    }

    #[test]
    fn among_many_only_what_it_ran_for_counts() {
        let (start, mut time) = (Instant::now(), ComputeTime::new(us(2_000)));
        assert!(time.pause(start));
        // Each time it has the last tenth of a tick.
        for tick in 1..=20 {
            time.resume(start + us(1_000 * tick - 100));
            assert!(time.pause(start + us(1_000 * tick)), "{tick}");
        }
        time.resume(start + us(30_900));
        assert!(!time.pause(start + us(31_000)));
    }

    #[test]
    fn a_lost_core_counts_for_one_tick() {
        let (start, mut time) = (Instant::now(), ComputeTime::new(us(2_000)));
        assert!(time.pause(start));
        time.resume(start);
        assert!(time.pause(start + us(1_000_000)));
        assert_eq!(time.spent(), us(1_000));
    }
}
