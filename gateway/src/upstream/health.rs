//! Whether a region may be chosen: what its last probe said, and how its last requests went. Pure.
//!
//! A region that was never probed is not chosen. Failures in a row, of probes or requests alike, eject it for a time
//! that doubles with each ejection; after it the next good probe brings it back.

use std::time::{Duration, Instant};

/// How soon and for how long a region is ejected.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Failures in a row.
    pub eject_after: u32,
    /// First ejection.
    pub eject: Duration,
    /// Longest ejection.
    pub eject_max: Duration,
}

/// One region's health.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    ready: bool,
    failures: u32,
    ejections: u32,
    ejected_until: Option<Instant>,
}

impl Health {
    /// Whether requests may go there now.
    pub(crate) fn may_be_chosen(&self, now: Instant) -> bool {
        self.ready && self.ejected_until.is_none_or(|until| now >= until)
    }

    /// A probe found the region ready to serve.
    pub(crate) fn probe_ready(&mut self, now: Instant) {
        if self.ejected_until.is_some_and(|until| now < until) {
            return;
        }
        self.ready = true;
        self.ejected_until = None;
        self.failures = 0;
    }

    /// A probe found the region draining or not yet ready. That is no failure.
    pub(crate) fn probe_not_ready(&mut self) {
        self.ready = false;
    }

    /// A request went well.
    pub(crate) fn request_ok(&mut self) {
        self.failures = 0;
        self.ejections = 0;
    }

    /// A probe or a request failed. True: this ejected the region.
    pub(crate) fn failed(&mut self, now: Instant, rules: &Rules) -> bool {
        self.failures = self.failures.saturating_add(1);
        let already = self.ejected_until.is_some_and(|until| now < until);
        if self.failures < rules.eject_after || already {
            return false;
        }
        let doubled = rules.eject.saturating_mul(1 << self.ejections.min(16));
        self.ejected_until = Some(now + doubled.min(rules.eject_max));
        self.ejections = self.ejections.saturating_add(1);
        self.ready = false;
        self.failures = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { eject_after: 2, eject: Duration::from_secs(1), eject_max: Duration::from_secs(3) };

    #[test]
    fn unprobed_regions_are_not_chosen() {
        let now = Instant::now();
        let mut health = Health::default();
        assert!(!health.may_be_chosen(now));
        health.probe_ready(now);
        assert!(health.may_be_chosen(now));
        health.probe_not_ready();
        assert!(!health.may_be_chosen(now));
    }

    #[test]
    fn ejection_doubles_and_ends_with_a_good_probe() {
        let start = Instant::now();
        let mut health = Health::default();
        health.probe_ready(start);
        assert!(!health.failed(start, &RULES) && health.may_be_chosen(start));
        assert!(health.failed(start, &RULES) && !health.may_be_chosen(start));

        let early = start + Duration::from_millis(500);
        health.probe_ready(early);
        assert!(!health.may_be_chosen(early));
        let later = start + Duration::from_secs(1);
        health.probe_ready(later);
        assert!(health.may_be_chosen(later));

        assert!(!health.failed(later, &RULES) && health.failed(later, &RULES));
        let too_early = later + Duration::from_millis(1_500);
        health.probe_ready(too_early);
        assert!(!health.may_be_chosen(too_early));
        health.probe_ready(later + Duration::from_secs(2));
        assert!(health.may_be_chosen(later + Duration::from_secs(2)));
    }

    #[test]
    fn a_success_forgets_earlier_failures() {
        let now = Instant::now();
        let mut health = Health::default();
        health.probe_ready(now);
        health.failed(now, &RULES);
        health.request_ok();
        assert!(!health.failed(now, &RULES) && health.may_be_chosen(now));
    }
}
