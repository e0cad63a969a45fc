//! What plugins cost, and the numbers that they give themselves.
//!
//! Who asks for a series keeps it and bounds how many there are; a series ends when it is forgotten.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Bounds for values of any kind: from a tenth of a millisecond, in seconds, to tens of megabytes.
const VALUES: [f64; 23] = [
    1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5,
    1e6, 3e6, 3e7,
];

/// What becomes of a record: it was taken to be written; there was no room, or no file; it was taken and lost all the same.
pub(crate) const RECORDS: [&str; 4] = ["taken", "full", "unavailable", "lost"];

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NumberLabels {
    plugin: String,
    name: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SpentLabels {
    plugin: String,
    phase: &'static str,
    tenant: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct JournalLabels {
    plugin: String,
    result: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginLabel {
    plugin: String,
}

/// The series of plugins.
pub(crate) struct PluginMetrics {
    counts: Family<NumberLabels, Counter>,
    values: Family<NumberLabels, Histogram, fn() -> Histogram>,
    busy: Family<SpentLabels, Counter<f64, AtomicU64>>,
    calls: Family<SpentLabels, Counter>,
    memory: Family<PluginLabel, Gauge>,
    prepared: Family<PluginLabel, Counter<f64, AtomicU64>>,
    records: Family<JournalLabels, Counter>,
}

/// The counters of one plugin, phase and tenant.
pub(crate) struct Spent {
    busy: Counter<f64, AtomicU64>,
    calls: Counter,
}

impl Spent {
    /// Adds a call.
    pub(crate) fn add(&self, busy: Duration) {
        self.busy.inc_by(busy.as_secs_f64());
        self.calls.inc();
    }
}

impl Default for PluginMetrics {
    fn default() -> Self {
        Self {
            counts: Family::default(),
            values: Family::new_with_constructor(|| Histogram::new(VALUES)),
            busy: Family::default(),
            calls: Family::default(),
            memory: Family::default(),
            prepared: Family::default(),
            records: Family::default(),
        }
    }
}

impl PluginMetrics {
    /// Shows them in a registry.
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("plugin_count", "What plugins count, by plugin and their name for it", self.counts.clone());
        r.register("plugin_value", "What plugins measure, by plugin and their name for it", self.values.clone());
        r.register_with_unit(
            "policy_busy",
            "Time for which calls of a plugin held a thread, in the guest and in host functions",
            Unit::Seconds,
            self.busy.clone(),
        );
        r.register("plugin_journal", "Records of plugins, by what became of them", self.records.clone());
        r.register("policy_calls", "Calls of a plugin, by phase and tenant", self.calls.clone());
        r.register_with_unit(
            "policy_prepared",
            "Time for which a thread was held to make instances of a plugin ahead of calls and to drop them after",
            Unit::Seconds,
            self.prepared.clone(),
        );
        r.register_with_unit(
            "policy_memory",
            "The most linear memory that an instance of a plugin had",
            Unit::Bytes,
            self.memory.clone(),
        );
    }

    /// Time for which instances of a plugin were made ahead of calls.
    pub(crate) fn prepared(&self, plugin: &str) -> Counter<f64, AtomicU64> {
        self.prepared.get_or_create_owned(&PluginLabel { plugin: plugin.to_owned() })
    }

    /// A plugin's own count.
    pub(crate) fn count(&self, plugin: &str, name: &str) -> Counter {
        self.counts.get_or_create_owned(&number(plugin, name))
    }

    /// A plugin's own values.
    pub(crate) fn values(&self, plugin: &str, name: &str) -> Histogram {
        self.values.get_or_create_owned(&number(plugin, name))
    }

    /// What calls of a plugin cost in a phase for a tenant.
    pub(crate) fn spent(&self, plugin: &str, phase: &'static str, tenant: &str) -> Spent {
        let labels = spent(plugin, phase, tenant);
        Spent { busy: self.busy.get_or_create_owned(&labels), calls: self.calls.get_or_create_owned(&labels) }
    }

    /// The most memory that an instance had, in bytes.
    pub(crate) fn memory(&self, plugin: &str) -> Gauge {
        self.memory.get_or_create_owned(&PluginLabel { plugin: plugin.to_owned() })
    }

    /// Records of a plugin with this result, one of `RECORDS`.
    pub(crate) fn records(&self, plugin: &str, result: &'static str) -> Counter {
        self.records.get_or_create_owned(&JournalLabels { plugin: plugin.to_owned(), result })
    }

    /// Ends what `records` gave.
    pub(crate) fn forget_records(&self, plugin: &str) {
        for result in RECORDS {
            self.records.remove(&JournalLabels { plugin: plugin.to_owned(), result });
        }
    }

    /// Ends what `count` and `values` gave.
    pub(crate) fn forget_number(&self, plugin: &str, name: &str) {
        let labels = number(plugin, name);
        self.counts.remove(&labels);
        self.values.remove(&labels);
    }

    /// Ends what `spent` gave.
    pub(crate) fn forget_spent(&self, plugin: &str, phase: &'static str, tenant: &str) {
        let labels = spent(plugin, phase, tenant);
        self.busy.remove(&labels);
        self.calls.remove(&labels);
    }

    /// Ends what `memory` and `prepared` gave.
    pub(crate) fn forget_plugin(&self, plugin: &str) {
        let label = PluginLabel { plugin: plugin.to_owned() };
        self.memory.remove(&label);
        self.prepared.remove(&label);
    }
}

fn number(plugin: &str, name: &str) -> NumberLabels {
    NumberLabels { plugin: plugin.to_owned(), name: name.to_owned() }
}

fn spent(plugin: &str, phase: &'static str, tenant: &str) -> SpentLabels {
    SpentLabels { plugin: plugin.to_owned(), phase, tenant: tenant.to_owned() }
}
