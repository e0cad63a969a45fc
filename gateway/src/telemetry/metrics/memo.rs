//! What the verdict memos of plugins did. They count for themselves, where a hit must cost next to nothing; what they
//! counted is taken over when somebody looks. A plugin that is loaded anew counts from 0 again.

use std::sync::atomic::{AtomicU64, Ordering};

use forebay_policy::MemoStats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    plugin: String,
}

type Counters = Family<Labels, Counter<u64, AtomicU64>>;

/// One family for each number of [`MemoStats`].
#[derive(Default)]
pub(super) struct MemoMetrics {
    hits: Counters,
    misses: Counters,
    stores: Counters,
    evictions: Counters,
    switched_off: Counters,
    bytes: Family<Labels, Gauge>,
}

impl MemoMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let mut counters = |name: &str, help: &str, counters: &Counters| {
            registry.register(name, help, counters.clone());
        };
        counters("policy_memo_hits", "Hooks that were answered without running the guest", &self.hits);
        counters("policy_memo_misses", "Hooks that were looked for in the memo in vain", &self.misses);
        counters("policy_memo_stores", "Verdicts that were kept", &self.stores);
        counters("policy_memo_evictions", "Verdicts that were given up for others", &self.evictions);
        counters("policy_memo_switched_off", "Memos off since equal runs ended differently", &self.switched_off);
        registry.register("policy_memo_bytes", "What kept verdicts take, roughly", self.bytes.clone());
    }

    pub(super) fn set(&self, plugin: &str, stats: MemoStats) {
        let labels = Labels { plugin: plugin.to_owned() };
        for (counters, count) in [
            (&self.hits, stats.hits),
            (&self.misses, stats.misses),
            (&self.stores, stats.stores),
            (&self.evictions, stats.evictions),
            (&self.switched_off, stats.switched_off),
        ] {
            counters.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
        }
        self.bytes.get_or_create(&labels).set(i64::try_from(stats.bytes).unwrap_or(i64::MAX));
    }
}
