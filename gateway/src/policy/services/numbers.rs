//! Behind `metrics`: a plugin's own numbers, under names of its own choice, of which there are few.
//!
//! A name comes from a guest, and each is a series that a node keeps and an operator pays for: so names are of one form,
//! and bounded in number for as long as the plugin is configured.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use forebay_policy::services::Numbers;
use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::telemetry::metrics::Metrics;

/// Names of one plugin.
const NAMES_MAX: usize = 32;
/// The longest name.
const NAME_BYTES_MAX: usize = 64;

/// The numbers of one plugin. They outlive a reload.
pub(super) struct PluginNumbers {
    plugin: String,
    metrics: Arc<Metrics>,
    known: RwLock<HashMap<String, Series>>,
    has_dropped: AtomicBool,
}

/// What goes by one name.
#[derive(Clone, Default)]
struct Series {
    count: Option<Counter>,
    values: Option<Histogram>,
}

impl PluginNumbers {
    pub(super) fn new(plugin: &str, metrics: &Arc<Metrics>) -> Self {
        Self {
            plugin: plugin.to_owned(),
            metrics: Arc::clone(metrics),
            known: RwLock::default(),
            has_dropped: AtomicBool::new(false),
        }
    }

    /// Ends all its series: the plugin is gone.
    pub(super) fn forget(&self) {
        for (name, _) in self.known.write().drain() {
            self.metrics.plugins.forget_number(&self.plugin, &name);
        }
    }

    /// The series of that name and kind, made where there is room for another name.
    fn series<T>(
        &self,
        name: &str,
        get: impl Fn(&Series) -> Option<T>,
        make: impl FnOnce(&mut Series) -> T,
    ) -> Option<T> {
        if let Some(found) = self.known.read().get(name).and_then(&get) {
            return Some(found);
        }
        if !is_legal(name) {
            self.drop_one(name, "it is not at most 64 lower-case letters, digits and underscores");
            return None;
        }
        let mut known = self.known.write();
        if !known.contains_key(name) && known.len() >= NAMES_MAX {
            drop(known);
            self.drop_one(name, "the plugin has as many names as it may");
            return None;
        }
        let series = known.entry(name.to_owned()).or_default();
        Some(get(series).unwrap_or_else(|| make(series)))
    }

    /// Says once that there is a name that is not kept. The name itself may hold anything, and is not said.
    fn drop_one(&self, name: &str, why: &str) {
        if !self.has_dropped.swap(true, Ordering::Relaxed) {
            let (plugin, bytes) = (&*self.plugin, name.len());
            tracing::warn!(plugin, bytes, why, "a number of this plugin is dropped; further ones are without a word");
        }
    }
}

impl Numbers for PluginNumbers {
    fn count(&self, name: &str, by: u64) {
        let make = |series: &mut Series| series.count.insert(self.metrics.plugins.count(&self.plugin, name)).clone();
        if let Some(counter) = self.series(name, |series| series.count.clone(), make) {
            counter.inc_by(by);
        }
    }

    fn observe(&self, name: &str, value: f64) {
        let make = |series: &mut Series| series.values.insert(self.metrics.plugins.values(&self.plugin, name)).clone();
        if let Some(values) = self.series(name, |series| series.values.clone(), make) {
            values.observe(value);
        }
    }
}

fn is_legal(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        metrics.text(&forebay_http::ListenerCounts::default())
    }

    #[test]
    fn names_are_bounded_and_legal() {
        let metrics = Arc::new(Metrics::default());
        let numbers = PluginNumbers::new("p", &metrics);
        for name in ["", "Upper", "da-sh", "sp ace", "quote\"", "ümlaut", &"x".repeat(65)] {
            numbers.count(name, 1);
            numbers.observe(name, 1.0);
        }
        assert!(!text(&metrics).contains("plugin=\"p\""));
        for i in 0..40 {
            numbers.count(&format!("n{i}"), 2);
            numbers.observe(&format!("n{i}"), 0.5);
        }
        let text = text(&metrics);
        assert_eq!(text.matches("forebay_plugin_count_total{plugin=\"p\"").count(), NAMES_MAX);
        assert_eq!(text.matches("forebay_plugin_value_sum{plugin=\"p\"").count(), NAMES_MAX);
        assert!(text.contains("forebay_plugin_count_total{plugin=\"p\",name=\"n0\"} 2"), "{text}");
    }

    #[test]
    fn a_plugin_that_is_gone_leaves_no_series() {
        let metrics = Arc::new(Metrics::default());
        let (gone, stays) = (PluginNumbers::new("gone", &metrics), PluginNumbers::new("stays", &metrics));
        for numbers in [&gone, &stays] {
            numbers.count("n", 1);
            numbers.observe("v", 1.0);
        }
        gone.forget();
        let text = text(&metrics);
        assert!(!text.contains("plugin=\"gone\"") && text.contains("plugin=\"stays\""), "{text}");
    }
}
