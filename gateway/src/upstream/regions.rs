//! The regions of a node, and which of them a request may use: jurisdiction first, always. Everything that picks a region
//! goes through `allowed`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_http::ProblemType;
use http::HeaderValue;
use rand::Rng;

use super::balance::{self, Load};
use super::budget::RetryBudget;
use super::region::{ModelVersion, Region};
use crate::config::{Balance, InferenceTarget};
use crate::error::Refusal;
use crate::telemetry::metrics::Metrics;

/// The regions and what choosing among them shares.
pub(crate) struct Regions {
    regions: Vec<Arc<Region>>,
    pub(super) budget: Arc<RetryBudget>,
    pub(super) balance: Balance,
    pub(super) metrics: Arc<Metrics>,
    pub(super) answer_max_bytes: usize,
}

/// What every attempt of one request has in common.
pub(crate) struct Call<'a> {
    /// The route's constraint.
    pub(crate) target: &'a InferenceTarget,
    /// Model name.
    pub(crate) model: &'a str,
    /// Version the caller asked for.
    pub(crate) version: Option<&'a str>,
    /// The request's deadline.
    pub(crate) deadline: Instant,
    /// `traceparent` to send on.
    pub(crate) trace: Option<HeaderValue>,
}

impl Regions {
    /// All regions of a node.
    pub(crate) fn new(
        regions: Vec<Arc<Region>>,
        budget: Arc<RetryBudget>,
        balance: Balance,
        metrics: Arc<Metrics>,
        answer_max_bytes: usize,
    ) -> Self {
        Self { regions, budget, balance, metrics, answer_max_bytes }
    }

    /// The regions, in file order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Region>> {
        self.regions.iter()
    }

    /// The retry budget, where it is one of these rules.
    pub(crate) fn budget_of(&self, balance: &Balance) -> Option<Arc<RetryBudget>> {
        (self.balance == *balance).then(|| Arc::clone(&self.budget))
    }

    /// Whether a request of this route could be answered now.
    pub(crate) fn any_up(&self, target: &InferenceTarget) -> bool {
        let now = Instant::now();
        self.allowed(target).any(|region| region.is_up(now))
    }

    /// The one version of a model that every usable region would answer with. `None` where there is none, or where
    /// they differ (a roll-out): an answer could not be keyed by its model then.
    pub(crate) fn agreed_model(&self, call: &Call<'_>) -> Option<ModelVersion> {
        let mut regions = self.allowed(call.target).filter(|region| region.is_ready());
        let agreed = regions.find_map(|region| region.model(call.model, call.version, ModelVersion::clone))?;
        let agrees = |region: &Arc<Region>| region.model(call.model, call.version, |other| *other == agreed);
        regions.all(|region| agrees(region).unwrap_or(true)).then_some(agreed)
    }

    /// The best region that is allowed, has the model and was not tried. One that is up; or, where none is, one that was
    /// ejected but whose probes are fine: a doubtful answer beats none.
    pub(super) fn choose(&self, call: &Call<'_>, tried: &[Arc<Region>]) -> Result<Arc<Region>, Refusal> {
        let now = Instant::now();
        let ready: Vec<&Arc<Region>> = self.allowed(call.target).filter(|region| region.is_ready()).collect();
        if ready.is_empty() {
            return Err(no_region(call.target));
        }
        let mut usable: Vec<&Arc<Region>> =
            ready.into_iter().filter(|region| region.has(call.model, call.version)).collect();
        if usable.is_empty() {
            return Err(self.no_model(call));
        }
        usable.retain(|region| !tried.iter().any(|other| Arc::ptr_eq(region, other)));
        if usable.iter().any(|region| region.is_up(now)) {
            usable.retain(|region| region.is_up(now));
        }
        let loads: Vec<Load> = usable.iter().map(|region| region.load(now)).collect();
        let chosen = balance::choose(&loads, |below| rand::rng().random_range(0..below.max(1)));
        chosen
            .and_then(|index| usable.get(index).map(|region| Arc::clone(region)))
            .ok_or_else(|| no_region(call.target))
    }

    /// The regions that a route allows.
    fn allowed<'s>(&'s self, target: &'s InferenceTarget) -> impl Iterator<Item = &'s Arc<Region>> {
        self.regions.iter().filter(|region| {
            let named = |list: &[String], name: &str| list.is_empty() || list.iter().any(|item| item == name);
            named(&target.jurisdictions, &region.config.jurisdiction) && named(&target.regions, region.name())
        })
    }

    /// A model that no allowed region has, ready or not, is unknown; one that only a lost region has is unavailable.
    fn no_model(&self, call: &Call<'_>) -> Refusal {
        if self.allowed(call.target).any(|region| region.has(call.model, call.version)) {
            return no_region(call.target);
        }
        let what = match call.version {
            Some(version) if self.allowed(call.target).any(|region| region.has(call.model, None)) => {
                format!("model `{}` has no version `{version}`", call.model)
            }
            _ => format!("no model is named `{}`", call.model),
        };
        Refusal::new(ProblemType::ModelNotFound, what)
    }
}

/// 503: nobody who may answer can.
pub(super) fn no_region(target: &InferenceTarget) -> Refusal {
    let detail = if target.jurisdictions.is_empty() {
        "no region can answer now".to_owned()
    } else {
        format!("no region in {} can answer now, and this route may use no other", target.jurisdictions.join(", "))
    };
    Refusal::new(ProblemType::NoRegion, detail).retry_after(Duration::from_secs(1))
}
