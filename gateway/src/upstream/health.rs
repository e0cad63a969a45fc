//! Whether a region may be chosen: what its probes say, and how its last requests went. Pure.
//!
//! The two are kept apart. Probes decide whether a region is *ready*: one that was never probed is not, several probes
//! that fail in a row take it out, one good probe brings it back. Requests that fail in a row *eject* a region that is
//! ready, for a time that doubles with each ejection: its probes may be fine while its work is not.

use std::time::{Duration, Instant};

/// How soon and for how long a region is taken out.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Failures in a row.
    pub(crate) eject_after: u32,
    /// First ejection.
    pub(crate) eject: Duration,
    /// Longest ejection.
    pub(crate) eject_max: Duration,
}

/// One region's health.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    ready: bool,
    probe_failures: u32,
    request_failures: u32,
    ejections: u32,
    ejected_until: Option<Instant>,
}

impl Health {
    /// Whether its probes say that it can serve, ejected or not.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether requests should go there now.
    pub(crate) fn is_up(&self, now: Instant) -> bool {
        self.ready && self.ejected_until.is_none_or(|until| now >= until)
    }

    /// A probe found the region ready to serve.
    pub(crate) fn probe_ready(&mut self) {
        self.ready = true;
        self.probe_failures = 0;
    }

    /// A probe found the region draining or not yet ready. That is no failure.
    pub(crate) fn probe_not_ready(&mut self) {
        self.ready = false;
        self.probe_failures = 0;
    }

    /// A probe failed.
    pub(crate) fn probe_failed(&mut self, rules: &Rules) {
        self.probe_failures = self.probe_failures.saturating_add(1);
        if self.probe_failures >= rules.eject_after {
            self.ready = false;
        }
    }

    /// A request went well.
    pub(crate) fn request_ok(&mut self) {
        self.request_failures = 0;
        self.ejections = 0;
    }

    /// A request failed, and the region is to blame. True: this ejected it.
    pub(crate) fn request_failed(&mut self, now: Instant, rules: &Rules) -> bool {
        self.request_failures = self.request_failures.saturating_add(1);
        let already = self.ejected_until.is_some_and(|until| now < until);
        if self.request_failures < rules.eject_after || already {
            return false;
        }
        let doubled = rules.eject.saturating_mul(1 << self.ejections.min(16));
        self.ejected_until = Some(now + doubled.min(rules.eject_max));
        self.ejections = self.ejections.saturating_add(1);
        self.request_failures = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { eject_after: 2, eject: Duration::from_secs(1), eject_max: Duration::from_secs(3) };

    fn ready() -> Health {
        let mut health = Health::default();
        health.probe_ready();
        health
    }

    #[test]
    fn probes_decide_whether_it_is_ready() {
        let now = Instant::now();
        assert!(!Health::default().is_up(now));
        let mut health = ready();
        assert!(health.is_up(now));
        health.probe_failed(&RULES);
        assert!(health.is_up(now), "one failure is forgiven");
        health.probe_failed(&RULES);
        assert!(!health.is_up(now));
        health.probe_ready();
        assert!(health.is_up(now), "and one good probe brings it back");
        health.probe_not_ready();
        assert!(!health.is_ready());
    }

    #[test]
    fn failing_requests_eject_whatever_the_probes_say() {
        let start = Instant::now();
        let mut health = ready();
        assert!(!health.request_failed(start, &RULES));
        health.probe_ready();
        assert!(health.request_failed(start, &RULES));
        assert!(!health.is_up(start) && health.is_ready());
        health.probe_ready();
        assert!(!health.is_up(start + Duration::from_millis(999)));
        assert!(health.is_up(start + Duration::from_secs(1)));
    }

    #[test]
    fn ejections_double_up_to_the_longest() {
        let mut now = Instant::now();
        let mut health = ready();
        for seconds in [1, 2, 3, 3] {
            assert!(!health.request_failed(now, &RULES) && health.request_failed(now, &RULES));
            assert!(!health.is_up(now + Duration::from_millis(seconds * 1_000 - 1)));
            now += Duration::from_secs(seconds);
            assert!(health.is_up(now));
        }
    }

    #[test]
    fn a_success_forgets_earlier_failures() {
        let now = Instant::now();
        let mut health = ready();
        health.request_failed(now, &RULES);
        health.request_ok();
        assert!(!health.request_failed(now, &RULES) && health.is_up(now));
    }
}
