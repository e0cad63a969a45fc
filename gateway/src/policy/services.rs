//! What stands behind the capabilities of plugins on this node: one set of services for each plugin, made from its entry
//! in the configuration.
//!
//! Only what was granted is made. What a plugin gathers over time (counters, values, numbers, accounts) belongs to its
//! name and outlives a reload; a plugin that a reload removed loses it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use forebay_policy::{Capability, Services};
use forebay_seal::Keyring;
use parking_lot::Mutex;

mod counters;
mod expiring;
mod inference;
mod journal;
mod key_value;
mod keys;
mod meter;
mod numbers;
pub(crate) mod outbound;

use counters::{CounterStore, PluginCounters};
use inference::{Directory, PluginInference};
use journal::Journals;
use key_value::{PluginValues, ValueStore};
use keys::PluginKeys;
use meter::{PluginMeter, Tenants};
use numbers::PluginNumbers;
use outbound::PluginOutbound;

use crate::config::{self, Config};
use crate::error::StartError;
use crate::telemetry::metrics::Metrics;
use crate::upstream::regions::Regions;

/// Everything that services are made from and that outlives a configuration.
pub(crate) struct Supplies {
    directory: Arc<Directory>,
    keyring: Arc<ArcSwap<Keyring>>,
    holdings: Mutex<HashMap<String, Arc<Holdings>>>,
    journals: Journals,
    tenants: Arc<Tenants>,
    metrics: Arc<Metrics>,
}

/// What a plugin gathers.
struct Holdings {
    counters: Arc<CounterStore>,
    values: Arc<ValueStore>,
    numbers: Arc<PluginNumbers>,
    meter: Arc<PluginMeter>,
}

/// Whose holdings a version of a plugin uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It serves: those of its name.
    Active,
    /// It runs beside the one that serves, and must not touch what that one holds: those of `{name}#shadow`.
    Shadow {
        /// Whether it has the plugin's keys and its way out.
        effects: bool,
    },
}

impl Standing {
    /// The name under which the version runs.
    pub(crate) fn name_of(self, plugin: &str) -> String {
        match self {
            Self::Active => plugin.to_owned(),
            Self::Shadow { .. } => format!("{plugin}{SHADOW}"),
        }
    }

    /// Whether what the version does may be seen outside of it.
    fn may_act(self) -> bool {
        match self {
            Self::Active => true,
            Self::Shadow { effects } => effects,
        }
    }
}

impl Supplies {
    /// Supplies that tell `tenants` tenants apart in metrics.
    pub(crate) fn new(metrics: &Arc<Metrics>, tenants: usize) -> Self {
        Self {
            directory: Arc::default(),
            keyring: Arc::default(),
            holdings: Mutex::default(),
            journals: Journals::default(),
            tenants: Arc::new(Tenants::new(tenants)),
            metrics: Arc::clone(metrics),
        }
    }

    /// The services of a plugin: those that it was granted.
    ///
    /// # Errors
    /// The roots that its outbound requests trust cannot be read, or its journal cannot be opened.
    pub(crate) fn services(&self, plugin: &config::Plugin, standing: Standing) -> Result<Services, StartError> {
        let held = self.holdings(&plugin.name, standing);
        let may = |capability| plugin.grants.contains(&capability);
        let mut services = Services { meter: Some(Arc::clone(&held.meter) as _), ..Services::default() };
        if may(Capability::Counters) {
            let (store, most) = (Arc::clone(&held.counters), plugin.counters);
            services.counters = Some(Arc::new(PluginCounters { store, most }));
        }
        if may(Capability::KeyValue) {
            let (store, quota) = (Arc::clone(&held.values), plugin.store);
            services.key_value = Some(Arc::new(PluginValues { store, quota }));
        }
        if may(Capability::Keys) {
            // Of its name in either standing: what a candidate signs must be right once it serves.
            let allowed = if standing.may_act() { plugin.keys.clone() } else { BTreeSet::new() };
            let keyring = Arc::clone(&self.keyring);
            services.keys = Some(Arc::new(PluginKeys { keyring, allowed, plugin: plugin.name.clone() }));
        }
        if may(Capability::Metrics) {
            services.numbers = Some(Arc::clone(&held.numbers) as _);
        }
        if may(Capability::Outbound) {
            let origins = if standing.may_act() { plugin.outbound.origins.clone() } else { Vec::new() };
            let outbound = config::Outbound { origins, ..plugin.outbound.clone() };
            services.outbound = Some(Arc::new(PluginOutbound::new(&outbound)?));
        }
        if may(Capability::Inference) {
            // In either standing: a question goes where the request itself may go, and costs no more than time.
            services.inference = Some(Arc::new(PluginInference {
                directory: Arc::clone(&self.directory),
                models: plugin.models.clone(),
                jurisdictions: plugin.jurisdictions.clone(),
            }));
        }
        if let Some(journal) = plugin.journal.as_ref().filter(|_| may(Capability::Journal)) {
            services.journal = Some(match standing {
                Standing::Active => self.journals.open(&plugin.name, journal, &self.metrics)?,
                Standing::Shadow { .. } => journal::nowhere(),
            });
        }
        Ok(services)
    }

    /// Writes what plugins recorded and takes no more. Waits for it, `within` so much time; what could not be written by
    /// then is lost, and the log says so.
    pub(crate) fn close(&self, within: Duration) {
        self.journals.close(within);
    }

    /// A configuration begins to serve: plugins, those too that were loaded for an earlier one, use its keys and ask its
    /// regions from now on. What plugins gathered that it does not name is dropped.
    pub(crate) fn publish(&self, config: &Config, regions: &Arc<Regions>, keyring: &Arc<Keyring>) {
        self.keyring.store(Arc::clone(keyring));
        self.directory.publish(config, regions);
        let shadows = config.plugins.iter().filter(|plugin| plugin.shadow.is_some());
        let shadows = shadows.map(|plugin| Standing::Shadow { effects: false }.name_of(&plugin.name));
        self.keep_only(&config.plugins.iter().map(|plugin| plugin.name.clone()).chain(shadows).collect());
    }

    /// Drops what versions of other names gathered. Only what serves says who has a place: a reload that is refused drops
    /// nothing.
    fn keep_only(&self, names: &BTreeSet<String>) {
        self.holdings.lock().retain(|name, held| {
            let stays = names.contains(name);
            if !stays {
                held.forget();
                self.metrics.plugins.forget_records(name);
            }
            stays
        });
    }

    fn holdings(&self, plugin: &str, standing: Standing) -> Arc<Holdings> {
        let name = standing.name_of(plugin);
        let mut holdings = self.holdings.lock();
        let held = holdings.entry(name.clone());
        Arc::clone(held.or_insert_with(|| {
            Arc::new(Holdings {
                counters: Arc::default(),
                values: Arc::default(),
                numbers: Arc::new(PluginNumbers::new(&name, &self.metrics)),
                meter: Arc::new(PluginMeter::new(&name, &self.metrics, &self.tenants)),
            })
        }))
    }
}

/// Ends the name under which a shadow gathers. No plugin's name may hold it.
const SHADOW: &str = "#shadow";

impl Holdings {
    fn forget(&self) {
        self.numbers.forget();
        self.meter.forget();
    }
}

#[cfg(test)]
mod tests;
