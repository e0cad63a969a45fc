//! Peak-sensitive moving average of a region's time: jumps up with the first slow answer, comes down slowly.
//!
//! The idea is Finagle's peak EWMA: a node that has just become slow must lose traffic at once, and earn it back. It also
//! comes down while nobody asks, or one slow answer would keep a region out of use for ever.

use std::time::{Duration, Instant};

/// The average.
#[derive(Debug, Clone)]
pub(crate) struct PeakEwma {
    seconds: f64,
    at: Instant,
    decay_s: f64,
}

impl PeakEwma {
    /// An average that knows nothing yet: zero, so that an unmeasured region is tried. After `decay` a measurement
    /// counts for 1/e of what it did.
    pub(crate) fn new(now: Instant, decay: Duration) -> Self {
        Self { seconds: 0.0, at: now, decay_s: decay.as_secs_f64() }
    }

    /// Takes one measurement.
    pub(crate) fn observe(&mut self, now: Instant, took: Duration) {
        let took_s = took.as_secs_f64();
        let weight = self.weight(now);
        self.seconds = if took_s >= self.seconds * weight {
            took_s
        } else {
            self.seconds.mul_add(weight, took_s * (1.0 - weight))
        };
        self.at = now;
    }

    /// The average now, in seconds.
    pub(crate) fn seconds(&self, now: Instant) -> f64 {
        self.seconds * self.weight(now)
    }

    /// What the past still counts for.
    fn weight(&self, now: Instant) -> f64 {
        (-now.saturating_duration_since(self.at).as_secs_f64() / self.decay_s).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Duration = Duration::from_secs(10);

    #[test]
    fn up_at_once_down_slowly() {
        let start = Instant::now();
        let mut ewma = PeakEwma::new(start, DECAY);
        ewma.observe(start, Duration::from_millis(10));
        ewma.observe(start, Duration::from_millis(500));
        assert!((ewma.seconds(start) - 0.5).abs() < 1e-9);
        let later = start + Duration::from_secs(1);
        ewma.observe(later, Duration::from_millis(10));
        assert!(ewma.seconds(later) > 0.4);
    }

    #[test]
    fn a_region_that_nobody_asks_is_tried_again() {
        let start = Instant::now();
        let mut ewma = PeakEwma::new(start, DECAY);
        ewma.observe(start, Duration::from_secs(30));
        assert!(ewma.seconds(start + Duration::from_secs(100)) < 0.01);
    }
}
