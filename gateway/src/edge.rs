//! Everything a request needs, built from one configuration and never changed: a reload builds another and swaps it in,
//! while requests in work keep the one they began with.

use std::collections::HashMap;
use std::sync::Arc;

use forebay_policy::{Engine, Phase};
use forebay_seal::Keyring;
use tokio::task::JoinSet;

use crate::admit::Admission;
use crate::cache::AnswerCache;
use crate::config::{Config, Limits, OriginTarget, Pop, Target};
use crate::error::StartError;
use crate::function::{self, Functions, Stack};
use crate::identity::Identities;
use crate::policy::lifecycle::{Alarm, Lifecycle};
use crate::policy::services::Supplies;
use crate::policy::store::Store;
use crate::policy::{Chain, Policy, load};
use crate::route::{Route, RouteTable};
use crate::telemetry::metrics::Metrics;
use crate::upstream::budget::RetryBudget;
use crate::upstream::probe;
use crate::upstream::proxy::Origin;
use crate::upstream::region::Region;
use crate::upstream::regions::Regions;

/// The edge of one configuration.
pub(crate) struct Edge {
    pub(crate) pop: Pop,
    pub(crate) limits: Limits,
    pub(crate) routes: RouteTable,
    pub(crate) identities: Identities,
    pub(crate) policies: Vec<Arc<Policy>>,
    pub(crate) functions: Vec<function::Loaded>,
    pub(crate) regions: Arc<Regions>,
    keyring: Arc<Keyring>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) cache: Arc<AnswerCache>,
    pub(crate) metrics: Arc<Metrics>,
}

/// What outlives a configuration: a reload keeps the answers, the counters and the requests in work.
#[derive(Clone)]
pub(crate) struct Lasting {
    pub(crate) engine: Engine,
    pub(crate) functions: Arc<Functions>,
    pub(crate) store: Store,
    pub(crate) cache: Arc<AnswerCache>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) supplies: Arc<Supplies>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) alarm: Alarm,
}

impl Edge {
    /// Builds everything that `config` names: keys, plugins, issuers, regions, routes. Of `before`, the edge of an
    /// earlier configuration, it keeps what is still the same: regions with their health, issuers with their keys, plugins with what
    /// they learnt.
    ///
    /// # Errors
    /// Something it names cannot be used; nothing has changed then.
    pub(crate) fn build(
        config: &Config,
        lasting: &Lasting,
        before: Option<&Self>,
        only: Option<&str>,
    ) -> Result<Self, StartError> {
        let keyring = Arc::new(keyring(config)?);
        let known = before.map_or(&[][..], |before| before.policies.as_slice());
        let policies = load::policies(config, lasting, known, only)?;
        let known = before.map(|before| &*before.functions);
        let functions = function::load(config, &lasting.functions, &lasting.store, known)?;
        let metrics = &lasting.metrics;
        let regions = regions(config, metrics, before)?;
        Ok(Self {
            pop: config.pop.clone(),
            limits: config.limits.clone(),
            routes: routes(config, &policies, &functions, &keyring, metrics)?,
            identities: Identities::load(config, before.map(|before| &before.identities))?,
            policies: policies.into_values().collect(),
            functions,
            regions: Arc::new(regions),
            keyring,
            admission: Arc::clone(&lasting.admission),
            cache: Arc::clone(&lasting.cache),
            metrics: Arc::clone(metrics),
        })
    }

    /// Lets plugins use the keys and regions of this edge, and holds requests in work to its revocations: it begins to
    /// serve.
    pub(crate) fn publish(&self, config: &Config, lasting: &Lasting) {
        lasting.store.remember_functions(&self.functions);
        self.identities.publish();
        lasting.supplies.publish(config, &self.regions, &self.keyring);
    }

    /// The plugin of that name, as it serves.
    pub(crate) fn policy(&self, name: &str) -> Option<Arc<Policy>> {
        self.policies.iter().find(|policy| policy.plugin.name() == name).cloned()
    }

    /// Probes every region and fetches every issuer's keys once, so that the first request finds them judged.
    pub(crate) async fn look_around(self: &Arc<Self>, config: &Config) {
        let mut probes = JoinSet::new();
        for issuer in self.identities.issuers() {
            let issuer = Arc::clone(issuer);
            probes.spawn(async move { issuer.fetch_first().await });
        }
        for region in self.regions.iter() {
            let (region, metrics, timeout) =
                (Arc::clone(region), Arc::clone(&self.metrics), config.balance.probe_timeout);
            probes.spawn(async move { probe::once(&region, &metrics, timeout).await });
        }
        probes.join_all().await;
    }

    /// Starts the tasks that keep regions and keys judged. They end when the set is dropped.
    pub(crate) fn keep_watch(&self, config: &Config) -> JoinSet<()> {
        let mut watch = JoinSet::new();
        for region in self.regions.iter() {
            let (region, metrics) = (Arc::clone(region), Arc::clone(&self.metrics));
            watch.spawn(probe::keep_probing(
                region,
                metrics,
                config.balance.probe_interval,
                config.balance.probe_timeout,
            ));
        }
        for issuer in self.identities.issuers() {
            watch.spawn(Arc::clone(issuer).keep_fresh());
        }
        watch
    }
}

fn keyring(config: &Config) -> Result<Keyring, StartError> {
    let mut keyring = Keyring::new();
    for (name, path) in &config.keys {
        keyring.load_file(name, path).map_err(|error| StartError::Key(error.to_string()))?;
    }
    Ok(keyring)
}

fn regions(config: &Config, metrics: &Arc<Metrics>, before: Option<&Edge>) -> Result<Regions, StartError> {
    let balance = &config.balance;
    let mut regions = Vec::new();
    for region in &config.regions {
        let known = before.and_then(|edge| edge.regions.iter().find(|known| known.is_of(region, balance)));
        regions.push(match known {
            Some(known) => Arc::clone(known),
            None => Arc::new(Region::new(region, balance)?),
        });
    }
    let budget = before.and_then(|edge| edge.regions.budget_of(balance));
    let budget = budget.unwrap_or_else(|| Arc::new(RetryBudget::new(balance.retry_percent, balance.retry_burst)));
    Ok(Regions::new(regions, budget, balance.clone(), Arc::clone(metrics), config.limits.answer_bytes))
}

/// A route never does without one of its policies.
fn loaded(policies: &HashMap<String, Arc<Policy>>, name: &str) -> Result<Arc<Policy>, StartError> {
    let unknown =
        || StartError::Plugin { name: name.to_owned(), reason: "a route names it, and it is not loaded".into() };
    policies.get(name).cloned().ok_or_else(unknown)
}

fn routes(
    config: &Config,
    policies: &HashMap<String, Arc<Policy>>,
    functions: &[function::Loaded],
    keyring: &Arc<Keyring>,
    metrics: &Arc<Metrics>,
) -> Result<RouteTable, StartError> {
    let mut routes = Vec::new();
    for route in &config.routes {
        let chain: Result<Vec<_>, _> = route.policies.iter().map(|name| loaded(policies, name)).collect();
        let origin = match &route.target {
            Target::Origin(target) => Some(Arc::new(Origin::new(target)?)),
            Target::Inference(_) | Target::Function(_) => None,
        };
        let chain = Arc::new(Chain::new(chain?, Arc::clone(keyring), Arc::clone(metrics)));
        if !route.public && !chain.has(Phase::Request) {
            return Err(StartError::Unguarded(route.name.clone()));
        }
        if let (Target::Origin(OriginTarget { websocket: true, .. }), Some(plugin)) =
            (&route.target, chain.blind_to_messages())
        {
            return Err(StartError::Blind { route: route.name.clone(), plugin: plugin.to_owned() });
        }
        let stack = Stack::of(route, functions)?;
        routes.push(Arc::new(Route {
            metrics: metrics.route(&route.name),
            config: route.clone(),
            chain,
            origin,
            stack,
        }));
    }
    Ok(RouteTable::new(routes))
}
