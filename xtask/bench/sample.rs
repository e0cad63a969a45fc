//! What one measurement yields, and the median of several.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::Measured;

/// One measurement of one contender.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) requests_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU time of the server's processes for each request.
    pub(crate) cpu_us: f64,
}

impl Sample {
    pub(crate) fn of(measured: &Measured, cpu: Duration) -> Self {
        let requests = measured.requests.max(1) as f64;
        Self {
            requests_per_s: requests / measured.elapsed.as_secs_f64(),
            p50_us: measured.latency.value_at_quantile(0.50) as f64,
            p99_us: measured.latency.value_at_quantile(0.99) as f64,
            cpu_us: cpu.as_secs_f64() * 1e6 / requests,
        }
    }

    /// How many requests one core answers in a second.
    pub(crate) fn requests_per_cpu_s(&self) -> f64 {
        1e6 / self.cpu_us.max(f64::MIN_POSITIVE)
    }
}

/// The median of each figure on its own.
pub(crate) fn median(samples: &[Sample]) -> Sample {
    let of = |figure: fn(&Sample) -> f64| middle(samples.iter().map(figure).collect());
    Sample {
        requests_per_s: of(|sample| sample.requests_per_s),
        p50_us: of(|sample| sample.p50_us),
        p99_us: of(|sample| sample.p99_us),
        cpu_us: of(|sample| sample.cpu_us),
    }
}

/// Half the range of the CPU figures, relative to their median: how far to trust them.
pub(crate) fn spread(samples: &[Sample]) -> f64 {
    let all: Vec<_> = samples.iter().map(|sample| sample.cpu_us).collect();
    let half = half_range(&all);
    let median = middle(all);
    if median > 0.0 { half / median } else { 0.0 }
}

/// Half the range of figures.
pub(crate) fn half_range(values: &[f64]) -> f64 {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() { 0.0 } else { (high - low) / 2.0 }
}

/// The median.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = values.len().checked_sub(2).and_then(|_| values.get(values.len() / 2 - 1)).copied();
    lower.map_or(upper, |lower| f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_of_each_figure() {
        let sample = |cpu_us| Sample { cpu_us, ..Sample::default() };
        assert_eq!(median(&[sample(3.0), sample(1.0), sample(2.0)]).cpu_us, 2.0);
        assert_eq!(median(&[sample(4.0), sample(1.0)]).cpu_us, 2.5);
        assert_eq!(median(&[]).cpu_us, 0.0);
        assert_eq!(spread(&[sample(1.0), sample(2.0), sample(3.0)]), 0.5);
    }
}
