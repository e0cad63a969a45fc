//! A counter that many cores add to. One number that all of them write would cost a hit more than finding it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

const STRIPES: usize = 8;

/// Sums up what threads counted, each on one of a few cache lines.
#[derive(Default)]
pub(super) struct Counter([CachePadded<AtomicU64>; STRIPES]);

impl Counter {
    /// Counts one.
    pub(super) fn add(&self) {
        if let Some(stripe) = self.0.get(stripe()) {
            stripe.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted.
    pub(super) fn get(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.load(Ordering::Relaxed)).sum()
    }
}

/// The stripe of this thread. Threads take them in turn.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OURS: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    OURS.try_with(|ours| *ours).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn counts_of_all_threads_add_up() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            (0..2 * STRIPES).for_each(|_| drop(scope.spawn(|| (0..100).for_each(|_| counter.add()))));
        });
        assert_eq!(counter.get(), 200 * STRIPES as u64);
    }
}
