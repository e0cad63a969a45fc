//! Who is told what each call of a plugin cost, and for which tenant.
//!
//! It runs on every call, so counters are looked up once for each tenant and phase; a call of a known tenant allocates
//! nothing and takes no lock. Tenants come from tokens: the first that are seen have a name of their own, for all plugins alike,
//! and all further ones are counted together.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use forebay_policy::Phase;
use forebay_policy::services::{Cost, Meter};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::metrics::{Metrics, Spent};

/// What tenants without a name of their own go by.
const OTHER: &str = "other";
/// What calls without a tenant go by.
const NONE: &str = "";
/// The longest name of a tenant that is told apart.
const TENANT_BYTES_MAX: usize = 128;

/// The tenants that metrics tell apart, of all plugins together.
pub(super) struct Tenants {
    known: ArcSwap<HashSet<Box<str>>>,
    most: usize,
    adding: Mutex<()>,
}

impl Tenants {
    pub(super) fn new(most: usize) -> Self {
        Self { known: ArcSwap::default(), most, adding: Mutex::default() }
    }

    /// Whether the tenant has a name of its own. A new one gets one while there is room.
    fn knows(&self, tenant: &str) -> bool {
        let known = self.known.load();
        if known.contains(tenant) {
            return true;
        }
        if known.len() >= self.most || tenant.len() > TENANT_BYTES_MAX {
            return false;
        }
        let _alone = self.adding.lock();
        let mut more = HashSet::clone(&self.known.load());
        if more.len() < self.most {
            more.insert(tenant.into());
        }
        let knows = more.contains(tenant);
        self.known.store(Arc::new(more));
        knows
    }
}

/// The accounts of one plugin. They outlive a reload.
pub(super) struct PluginMeter {
    plugin: String,
    metrics: Arc<Metrics>,
    tenants: Arc<Tenants>,
    memory: Gauge,
    prepared: Counter<f64, AtomicU64>,
    none: Account,
    other: Account,
    accounts: ArcSwap<HashMap<Box<str>, Arc<Account>>>,
    adding: Mutex<()>,
}

/// The counters of one tenant, by phase.
#[derive(Default)]
struct Account([OnceLock<Spent>; Phase::ALL.len()]);

impl PluginMeter {
    pub(super) fn new(plugin: &str, metrics: &Arc<Metrics>, tenants: &Arc<Tenants>) -> Self {
        Self {
            plugin: plugin.to_owned(),
            metrics: Arc::clone(metrics),
            tenants: Arc::clone(tenants),
            memory: metrics.plugins.memory(plugin),
            prepared: metrics.plugins.prepared(plugin),
            none: Account::default(),
            other: Account::default(),
            accounts: ArcSwap::default(),
            adding: Mutex::default(),
        }
    }

    /// Ends all its series: the plugin is gone.
    pub(super) fn forget(&self) {
        let accounts = self.accounts.load();
        let named = accounts.keys().map(|tenant| &**tenant);
        for tenant in named.chain([NONE, OTHER]) {
            for phase in Phase::ALL {
                self.metrics.plugins.forget_spent(&self.plugin, phase.hook(), tenant);
            }
        }
        self.metrics.plugins.forget_plugin(&self.plugin);
    }

    fn charge(&self, account: &Account, tenant: &str, phase: Phase, cost: &Cost) {
        let Some(slot) = account.0.get(phase as usize) else { return };
        slot.get_or_init(|| self.metrics.plugins.spent(&self.plugin, phase.hook(), tenant)).add(cost.busy);
    }

    /// Opens an account for a tenant that has a name of its own.
    fn open(&self, tenant: &str) -> Option<Arc<Account>> {
        if !self.tenants.knows(tenant) {
            return None;
        }
        let _alone = self.adding.lock();
        let mut accounts = HashMap::clone(&self.accounts.load());
        let account = Arc::clone(accounts.entry(tenant.into()).or_default());
        self.accounts.store(Arc::new(accounts));
        Some(account)
    }
}

impl Meter for PluginMeter {
    fn called(&self, phase: Phase, tenant: Option<&str>, cost: Cost) {
        // The most so far: a call that needed no more writes nothing that other threads read.
        let memory = i64::try_from(cost.memory_bytes).unwrap_or(i64::MAX);
        if memory > self.memory.get() {
            self.memory.inner().fetch_max(memory, std::sync::atomic::Ordering::Relaxed);
        }
        let Some(tenant) = tenant else {
            return self.charge(&self.none, NONE, phase, &cost);
        };
        if let Some(account) = self.accounts.load().get(tenant) {
            return self.charge(account, tenant, phase, &cost);
        }
        match self.open(tenant) {
            Some(account) => self.charge(&account, tenant, phase, &cost),
            None => self.charge(&self.other, OTHER, phase, &cost),
        }
    }

    fn prepared(&self, busy: Duration) {
        self.prepared.inc_by(busy.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost { busy: Duration::from_millis(250), memory_bytes: 65_536 };

    fn meter(most: usize) -> (Arc<Metrics>, PluginMeter) {
        let metrics = Arc::new(Metrics::default());
        let meter = PluginMeter::new("p", &metrics, &Arc::new(Tenants::new(most)));
        (metrics, meter)
    }

    fn text(metrics: &Metrics) -> String {
        metrics.text(&forebay_http::ListenerCounts::default())
    }

    fn calls(text: &str, tenant: &str) -> Option<u64> {
        let series = format!("forebay_policy_calls_total{{plugin=\"p\",phase=\"on-request\",tenant=\"{tenant}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).and_then(|count| count.parse().ok())
    }

    #[test]
    fn calls_are_charged_to_plugin_phase_and_tenant() {
        let (metrics, meter) = meter(2);
        for tenant in [Some("a"), Some("b"), Some("a"), Some("c"), Some("d"), None] {
            meter.called(Phase::Request, tenant, COST);
        }
        meter.called(Phase::Response, Some("a"), Cost { memory_bytes: 1, ..COST });
        let text = text(&metrics);
        assert_eq!(
            ["a", "b", "c", "other", ""].map(|tenant| calls(&text, tenant)),
            [Some(2), Some(1), None, Some(2), Some(1)]
        );
        meter.prepared(Duration::from_millis(250));
        let text = self::text(&metrics);
        let prepared = "forebay_policy_prepared_seconds_total{plugin=\"p\"} 0.25";
        let busy = "forebay_policy_busy_seconds_total{plugin=\"p\",phase=\"on-request\",tenant=\"a\"} 0.5";
        for line in [prepared, busy, "forebay_policy_memory_bytes{plugin=\"p\"} 65536"] {
            assert!(text.contains(line), "{line} not in:\n{text}");
        }
    }

    #[test]
    fn plugins_name_the_same_tenants() {
        let (metrics, tenants) = (Arc::new(Metrics::default()), Arc::new(Tenants::new(1)));
        let [p, q] = ["p", "q"].map(|plugin| PluginMeter::new(plugin, &metrics, &tenants));
        p.called(Phase::Request, Some("a"), COST);
        q.called(Phase::Request, Some("b"), COST);
        q.called(Phase::Request, Some("a"), COST);
        let text = text(&metrics);
        assert!(text.contains("{plugin=\"q\",phase=\"on-request\",tenant=\"a\"} 1"), "{text}");
        assert!(text.contains("{plugin=\"q\",phase=\"on-request\",tenant=\"other\"} 1"), "{text}");
    }

    #[test]
    fn a_tenant_cannot_forge_a_line_and_a_long_one_has_no_name() {
        let (metrics, meter) = meter(9);
        meter.called(Phase::Request, Some("a\"} 1\nforged 2"), COST);
        meter.called(Phase::Request, Some(&"x".repeat(200)), COST);
        let text = text(&metrics);
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
        assert_eq!(calls(&text, "other"), Some(1));
    }

    #[test]
    fn a_plugin_that_is_gone_leaves_no_series() {
        let (metrics, meter) = meter(1);
        for tenant in [Some("a"), Some("b"), None] {
            meter.called(Phase::Request, tenant, COST);
        }
        meter.forget();
        assert!(!text(&metrics).contains("plugin=\"p\""));
    }

    #[test]
    fn many_threads_lose_no_call() {
        let (metrics, meter) = meter(50);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..1_000 {
                        meter.called(Phase::Request, Some(&format!("t{}", i % 100)), COST);
                    }
                });
            }
        });
        let text = text(&metrics);
        let named: Vec<u64> = (0..100).filter_map(|i| calls(&text, &format!("t{i}"))).collect();
        assert_eq!(named.len(), 50);
        assert_eq!(named.iter().sum::<u64>() + calls(&text, "other").unwrap_or_default(), 4_000);
    }
}
