//! The time that a call spends in host functions, which the epoch does not see.
//!
//! A guest meets the clock of `engine::ticker` at loops and function entries only, so one that does little but
//! call the host could hold its thread for as long as the host's work takes. This counts that work. It is told
//! the time and knows no guest.

use std::time::{Duration, Instant};

/// The most that one stretch counts for. A thread may lose its core for longer than any host function works,
/// and a busy node must not fail its plugins; a guest that wants to waste time needs many stretches.
const MOST_AT_ONCE: Duration = Duration::from_millis(10);

/// What is left of a call's budget. Counts from each host function to the next or to the guest's next yield,
/// so the little that a guest computes in between is in it.
pub(crate) struct HostTime {
    left: Duration,
    since: Option<Instant>,
}

impl HostTime {
    pub(crate) fn new(budget: Duration) -> Self {
        Self { left: budget, since: None }
    }

    /// A host function begins. False when the budget was used up before it.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let within = self.settle(now);
        self.since = Some(now);
        within
    }

    /// The guest yields: what passes until it runs again is not its time. False when the budget is used up.
    pub(crate) fn pause(&mut self, now: Instant) -> bool {
        self.settle(now)
    }

    fn settle(&mut self, now: Instant) -> bool {
        let Some(since) = self.since.take() else { return true };
        let passed = now.saturating_duration_since(since).min(MOST_AT_ONCE);
        let rest = self.left.checked_sub(passed);
        self.left = rest.unwrap_or_default();
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn many_stretches_use_the_budget_up() {
        let (start, mut time) = (Instant::now(), HostTime::new(ms(10)));
        let within: Vec<bool> = (0..5).map(|call| time.begin(start + ms(4 * call))).collect();
        assert_eq!(within, [true, true, true, false, false]);
    }

    #[test]
    fn one_long_stretch_counts_little() {
        let (start, mut time) = (Instant::now(), HostTime::new(ms(15)));
        assert!(time.begin(start) && time.begin(start + ms(5_000)));
        assert!(!time.begin(start + ms(10_000)));
    }

    #[test]
    fn a_yield_ends_a_stretch_and_its_own_time_is_free() {
        let (start, mut time) = (Instant::now(), HostTime::new(ms(9)));
        assert!(time.begin(start) && time.pause(start + ms(5)));
        assert!(time.pause(start + ms(100)) && time.begin(start + ms(200)));
        assert!(time.pause(start + ms(204)));
        assert!(time.begin(start + ms(300)) && !time.pause(start + ms(301)));
    }
}
