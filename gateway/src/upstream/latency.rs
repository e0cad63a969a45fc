//! Peak-sensitive moving average of a region's time: jumps up with the first slow answer, comes down slowly.
//!
//! The idea is Finagle's peak EWMA: a node that has just become slow must lose traffic at once, and earn it back.

use std::time::{Duration, Instant};

/// The average.
#[derive(Debug, Clone)]
pub(crate) struct PeakEwma {
    seconds: f64,
    at: Instant,
    decay_s: f64,
}

impl PeakEwma {
    /// An average that knows nothing yet: zero, so that an unmeasured region is tried.
    pub(crate) fn new(now: Instant, decay: Duration) -> Self {
        Self { seconds: 0.0, at: now, decay_s: decay.as_secs_f64() }
    }

    /// Takes one measurement.
    pub(crate) fn observe(&mut self, now: Instant, took: Duration) {
        let took_s = took.as_secs_f64();
        if took_s >= self.seconds {
            self.seconds = took_s;
        } else {
            let old = (-now.saturating_duration_since(self.at).as_secs_f64() / self.decay_s).exp();
            self.seconds = self.seconds.mul_add(old, took_s * (1.0 - old));
        }
        self.at = now;
    }

    /// The average, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_at_once_down_slowly() {
        let start = Instant::now();
        let mut ewma = PeakEwma::new(start, Duration::from_secs(10));
        ewma.observe(start, Duration::from_millis(10));
        ewma.observe(start, Duration::from_millis(500));
        assert!((ewma.seconds() - 0.5).abs() < 1e-9);
        ewma.observe(start + Duration::from_secs(1), Duration::from_millis(10));
        assert!(ewma.seconds() > 0.4);
        ewma.observe(start + Duration::from_secs(61), Duration::from_millis(10));
        assert!(ewma.seconds() < 0.02);
    }
}
