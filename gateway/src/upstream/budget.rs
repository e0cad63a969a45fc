//! Retries are bought from a budget that requests fill, so that a failing region is not met with twice the load.

use parking_lot::Mutex;

/// Parts of one retry; keeps the arithmetic whole.
const PARTS: u64 = 100;

/// The budget of one node.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    parts: Mutex<u64>,
    per_request: u64,
    burst: u64,
}

impl RetryBudget {
    /// `percent` retries for a hundred requests, and never more than `burst` saved up.
    pub(crate) fn new(percent: u32, burst: u32) -> Self {
        let burst = u64::from(burst) * PARTS;
        Self { parts: Mutex::new(burst), per_request: u64::from(percent), burst }
    }

    /// A request came.
    pub(crate) fn earn(&self) {
        let mut parts = self.parts.lock();
        *parts = (*parts + self.per_request).min(self.burst);
    }

    /// Takes one retry, where there is one.
    pub(crate) fn spend(&self) -> bool {
        let mut parts = self.parts.lock();
        match parts.checked_sub(PARTS) {
            Some(left) => {
                *parts = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_share() {
        let budget = RetryBudget::new(20, 2);
        assert!(budget.spend() && budget.spend() && !budget.spend());
        for _ in 0..5 {
            budget.earn();
        }
        assert!(budget.spend() && !budget.spend());
    }
}
