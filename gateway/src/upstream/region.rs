//! One region as this node sees it: address, legal area, health, measured time, models.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Deserialize;

use super::balance::Load;
use super::client::Client;
use super::health::{Health, Rules};
use super::latency::PeakEwma;
use crate::config;
use crate::error::StartError;

/// A region.
pub(crate) struct Region {
    pub(crate) config: config::Region,
    pub(crate) client: Client,
    balance: config::Balance,
    rules: Rules,
    in_flight: AtomicUsize,
    state: Mutex<State>,
    models: ArcSwap<Models>,
}

struct State {
    health: Health,
    latency: PeakEwma,
    said: Option<String>,
}

/// The models that a region has ready: name to version and content digest.
pub(crate) type Models = BTreeMap<String, Vec<ModelVersion>>;

/// One version of a model in a region.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ModelVersion {
    /// Version.
    pub(crate) version: String,
    /// SHA-256 of the model's content, hex.
    pub(crate) digest: String,
}

/// What an operator is shown of a region.
#[derive(Debug, serde::Serialize)]
pub(crate) struct RegionStatus {
    name: String,
    url: String,
    jurisdiction: String,
    up: bool,
    latency_ms: f64,
    in_flight: usize,
    models: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Region {
    /// A region that nobody has probed yet.
    ///
    /// # Errors
    /// A PEM file cannot be used.
    pub(crate) fn new(region: &config::Region, balance: &config::Balance) -> Result<Self, StartError> {
        let identity = region.identity.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        Ok(Self {
            client: Client::new(region.ca.as_deref(), identity, balance.connect)?,
            config: region.clone(),
            balance: balance.clone(),
            rules: Rules { eject_after: balance.eject_after, eject: balance.eject, eject_max: balance.eject_max },
            in_flight: AtomicUsize::new(0),
            state: Mutex::new(State {
                health: Health::default(),
                latency: PeakEwma::new(Instant::now(), balance.latency_decay),
                said: Some("not probed yet".into()),
            }),
            models: ArcSwap::default(),
        })
    }

    /// Whether this is the region that a configuration describes, so that a reload can keep what is known of it.
    pub(crate) fn is_of(&self, region: &config::Region, balance: &config::Balance) -> bool {
        self.config == *region && self.balance == *balance
    }

    /// The name that routes use.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether requests should go there now.
    pub(crate) fn is_up(&self, now: Instant) -> bool {
        self.state.lock().health.is_up(now)
    }

    /// Whether its probes say that it can serve, however its last requests went.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.lock().health.is_ready()
    }

    /// What the balancer needs to know.
    pub(crate) fn load(&self, now: Instant) -> Load {
        Load {
            latency_s: self.state.lock().latency.seconds(now),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            penalty_s: self.config.penalty.as_secs_f64(),
        }
    }

    /// What `look` makes of the version of `model` that would answer: the one asked for, or the highest.
    pub(crate) fn model<T>(
        &self,
        model: &str,
        version: Option<&str>,
        look: impl FnOnce(&ModelVersion) -> T,
    ) -> Option<T> {
        let models = self.models.load();
        let versions = models.get(model)?;
        let found = match version {
            Some(version) => versions.iter().find(|known| known.version == version),
            None => versions.iter().max_by_key(|known| known.version.parse::<u64>().unwrap_or(0)),
        };
        found.map(look)
    }

    /// Whether it has the model, in this version or in any.
    pub(crate) fn has(&self, model: &str, version: Option<&str>) -> bool {
        self.model(model, version, |_| ()).is_some()
    }

    /// Counts a request as being there until the guard goes.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// A request was there for this long, whatever came of it.
    pub(crate) fn request_took(&self, now: Instant, took: Duration) {
        self.state.lock().latency.observe(now, took);
    }

    /// A request went well.
    pub(crate) fn request_ok(&self) {
        self.state.lock().health.request_ok();
    }

    /// A request failed, and the region is to blame. True: it is now ejected.
    pub(crate) fn request_failed(&self, now: Instant, why: &str) -> bool {
        let mut state = self.state.lock();
        state.said = Some(why.to_owned());
        state.health.request_failed(now, &self.rules)
    }

    /// A probe found the region ready with these models.
    pub(crate) fn probe_ready(&self, models: Models) {
        if **self.models.load() != models {
            self.models.store(Arc::new(models));
        }
        let mut state = self.state.lock();
        state.health.probe_ready();
        if state.health.is_up(Instant::now()) {
            state.said = None;
        }
    }

    /// A probe found the region not to be used, for a reason that is no failure.
    pub(crate) fn probe_not_ready(&self, why: String) {
        let mut state = self.state.lock();
        state.health.probe_not_ready();
        state.said = Some(why);
    }

    /// A probe failed.
    pub(crate) fn probe_failed(&self, why: String) {
        let mut state = self.state.lock();
        state.health.probe_failed(&self.rules);
        state.said = Some(why);
    }

    /// For operators.
    pub(crate) fn status(&self, now: Instant) -> RegionStatus {
        let state = self.state.lock();
        RegionStatus {
            name: self.config.name.clone(),
            url: self.config.url.to_string(),
            jurisdiction: self.config.jurisdiction.clone(),
            up: state.health.is_up(now),
            latency_ms: state.latency.seconds(now) * 1e3,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            models: self.models.load().keys().cloned().collect(),
            problem: state.said.clone(),
        }
    }
}

/// A request that is at a region.
pub(crate) struct InFlight(Arc<Region>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
