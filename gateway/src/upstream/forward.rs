//! One inference to the best allowed region, and to the next one where that fails and the budget allows.
//!
//! An inference may be repeated: it changes nothing in a region. So a lost connection, a broken answer and a region
//! that is full or failing are tried again elsewhere, inside the request's one deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_http::ProblemType;
use forebay_oip::path::Operation;
use forebay_oip::{DecodeLimits, Encoding, HEADER_LENGTH, InferRequest, InferResponse};
use http::header::CONTENT_TYPE;
use http::request::Builder;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use rand::Rng;
use serde::Deserialize;
use url::Url;

use super::balance::{self, Load};
use super::budget::RetryBudget;
use super::client::ClientError;
use super::region::{ModelVersion, Region};
use crate::config::InferenceTarget;
use crate::error::Refusal;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::TRACEPARENT;

/// Most regions that one request is tried at.
const ATTEMPTS_MAX: u32 = 4;
/// What is left of the deadline, in milliseconds: clocks differ between nodes, durations do not.
pub(crate) const TIMEOUT_HEADER: &str = "forebay-timeout-ms";

/// The regions and what choosing among them shares.
pub(crate) struct Regions {
    regions: Vec<Arc<Region>>,
    budget: RetryBudget,
    metrics: Arc<Metrics>,
    answer_max_bytes: usize,
}

/// What every attempt of one request has in common.
pub(crate) struct Call<'a> {
    /// The route's constraint.
    pub target: &'a InferenceTarget,
    /// Model name.
    pub model: &'a str,
    /// Version the caller asked for.
    pub version: Option<&'a str>,
    /// The request's deadline.
    pub deadline: Instant,
    /// `traceparent` to send on.
    pub trace: Option<HeaderValue>,
}

impl Call<'_> {
    /// The path of an operation on the call's model.
    pub(crate) fn path(&self, of: impl FnOnce(String, Option<String>) -> Operation) -> String {
        of(self.model.to_owned(), self.version.map(str::to_owned)).to_string()
    }
}

/// Where an answer came from, for the log; filled in also when there is none.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Attempts made.
    pub attempts: u32,
    /// The last region asked.
    pub region: Option<String>,
}

/// A region's answer to one inference.
pub(crate) struct Answer {
    /// The canonical answer.
    pub response: InferResponse,
    /// The region's own `Server-Timing`.
    pub timing: Option<String>,
}

/// How one attempt ended without an answer.
enum Miss {
    /// Another region may do better.
    Elsewhere(Refusal, &'static str),
    /// The answer would be the same everywhere.
    Final(Refusal),
}

impl Regions {
    /// All regions of a node.
    pub(crate) fn new(
        regions: Vec<Arc<Region>>,
        budget: RetryBudget,
        metrics: Arc<Metrics>,
        answer_max_bytes: usize,
    ) -> Self {
        Self { regions, budget, metrics, answer_max_bytes }
    }

    /// The regions, in file order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Region>> {
        self.regions.iter()
    }

    /// Whether a request of this route could be answered now.
    pub(crate) fn any_up(&self, target: &InferenceTarget) -> bool {
        let now = Instant::now();
        self.allowed(target).any(|region| region.is_up(now))
    }

    /// The one version of a model that every usable region would answer with. `None` where there is none, or where
    /// they differ (a roll-out): an answer could not be keyed by its model then.
    pub(crate) fn agreed_model(
        &self,
        target: &InferenceTarget,
        model: &str,
        version: Option<&str>,
    ) -> Option<ModelVersion> {
        let now = Instant::now();
        let mut known = self.allowed(target).filter(|r| r.is_up(now)).filter_map(|r| r.model(model, version));
        let first = known.next()?;
        known.all(|other| other == first).then_some(first)
    }

    /// Sends an inference and brings back its answer.
    ///
    /// # Errors
    /// No allowed region can answer, the deadline passed, or the request itself is at fault.
    pub(crate) async fn infer(
        &self,
        call: &Call<'_>,
        request: &InferRequest,
        trail: &mut Trail,
    ) -> Result<Answer, Refusal> {
        let encoded = forebay_oip::encode_request(request, Encoding::Binary)?;
        let path = call.path(|model, version| Operation::Infer { model, version });
        self.budget.earn();
        let mut tried: Vec<&str> = Vec::new();
        loop {
            let region = match self.choose(call, &tried) {
                Ok(region) => region,
                Err(refusal) => return Err(refusal),
            };
            trail.attempts += 1;
            trail.region = Some(region.name().to_owned());
            let post = Post { path: &path, body: &encoded.body, json_length: encoded.json_length };
            match self.attempt(&region, call, &post).await {
                Ok(answer) => return Ok(answer),
                Err(Miss::Final(refusal)) => return Err(refusal),
                Err(Miss::Elsewhere(refusal, _)) => {
                    tried.push(self.own_name(&region));
                    let another = self.choose(call, &tried).is_ok();
                    if !another || trail.attempts >= ATTEMPTS_MAX || !self.budget.spend() {
                        return Err(refusal);
                    }
                    tracing::debug!(region = region.name(), cause = refusal.cause(), "trying another region");
                }
            }
        }
    }

    /// Asks an allowed region about a model: its metadata, or whether it is ready.
    ///
    /// # Errors
    /// As for `infer`.
    pub(crate) async fn get(&self, call: &Call<'_>, path: &str, trail: &mut Trail) -> Result<(Parts, Bytes), Refusal> {
        let region = self.choose(call, &[])?;
        trail.attempts += 1;
        trail.region = Some(region.name().to_owned());
        let url = address(&region, path)?;
        let request = head(Request::builder().method(Method::GET).uri(url.as_str()), call)
            .body(Bytes::new())
            .map_err(|error| internal(&error))?;
        let left = call.deadline.saturating_duration_since(Instant::now());
        let _at_region = region.enter();
        let fetched = region.client.fetch(request, self.answer_max_bytes, left).await;
        fetched.map_err(|error| lost(&region, &error))
    }

    fn own_name(&self, region: &Arc<Region>) -> &str {
        self.regions.iter().find(|own| Arc::ptr_eq(own, region)).map_or("", |own| own.name())
    }

    /// The regions that a route allows: jurisdiction first, always.
    fn allowed<'s>(&'s self, target: &'s InferenceTarget) -> impl Iterator<Item = &'s Arc<Region>> {
        self.regions.iter().filter(|region| {
            let named = |list: &[String], name: &str| list.is_empty() || list.iter().any(|item| item == name);
            named(&target.jurisdictions, &region.config.jurisdiction) && named(&target.regions, region.name())
        })
    }

    /// The best region that is allowed, up, has the model and was not tried.
    fn choose(&self, call: &Call<'_>, tried: &[&str]) -> Result<Arc<Region>, Refusal> {
        let now = Instant::now();
        let up: Vec<_> = self.allowed(call.target).filter(|region| region.is_up(now)).collect();
        if up.is_empty() {
            return Err(no_region(call.target));
        }
        let mut with_model: Vec<_> = up.into_iter().filter(|r| r.model(call.model, call.version).is_some()).collect();
        if with_model.is_empty() {
            return Err(self.no_model(call));
        }
        with_model.retain(|region| !tried.contains(&region.name()));
        let loads: Vec<Load> = with_model.iter().map(|region| region.load()).collect();
        let chosen = balance::choose(&loads, |below| rand::rng().random_range(0..below.max(1)));
        chosen.and_then(|index| with_model.get(index)).map(|r| Arc::clone(r)).ok_or_else(|| no_region(call.target))
    }

    /// A model that no allowed region has, up or down, is unknown; one that only a lost region has is unavailable.
    fn no_model(&self, call: &Call<'_>) -> Refusal {
        if self.allowed(call.target).any(|region| region.model(call.model, call.version).is_some()) {
            return no_region(call.target);
        }
        let what = match call.version {
            Some(version) if self.allowed(call.target).any(|region| region.has_model(call.model)) => {
                format!("model `{}` has no version `{version}`", call.model)
            }
            _ => format!("no model is named `{}`", call.model),
        };
        Refusal::new(ProblemType::ModelNotFound, what)
    }

    async fn attempt(&self, region: &Arc<Region>, call: &Call<'_>, post: &Post<'_>) -> Result<Answer, Miss> {
        let started = Instant::now();
        let left = call.deadline.saturating_duration_since(started);
        let request = post.request(region, call).map_err(Miss::Final)?;
        let fetched = {
            let _at_region = region.enter();
            region.client.fetch(request, self.answer_max_bytes, left).await
        };
        let took = started.elapsed();
        let judged = match fetched {
            Ok((head, body)) => judge(region, &head, &body, took),
            Err(ClientError::TimedOut) => Err(Miss::Final(Refusal::deadline("forward"))),
            Err(error) => Err(Miss::Elsewhere(lost(region, &error), "lost")),
        };
        self.count(region, &judged, took);
        judged
    }

    /// Tells health and metrics how an attempt ended.
    fn count(&self, region: &Region, judged: &Result<Answer, Miss>, took: Duration) {
        let now = Instant::now();
        let outcome = match judged {
            Ok(_) => {
                region.request_ok(now, took);
                "ok"
            }
            Err(Miss::Final(refusal)) => refusal.reason(),
            Err(Miss::Elsewhere(_, outcome @ "full")) => outcome,
            Err(Miss::Elsewhere(refusal, outcome)) => {
                if region.failed(now, refusal.cause().unwrap_or("failed")) {
                    tracing::warn!(region = region.name(), cause = refusal.cause(), "region ejected");
                    self.metrics.region_up(region.name(), false);
                }
                outcome
            }
        };
        self.metrics.region_attempt(region.name(), outcome, took);
    }
}

/// The bytes of an inference on the wire, the same for every attempt.
struct Post<'a> {
    path: &'a str,
    body: &'a Bytes,
    json_length: Option<usize>,
}

impl Post<'_> {
    fn request(&self, region: &Region, call: &Call<'_>) -> Result<Request<Bytes>, Refusal> {
        let url = address(region, self.path)?;
        let mut builder = head(Request::builder().method(Method::POST).uri(url.as_str()), call);
        builder = match self.json_length {
            Some(length) => builder.header(CONTENT_TYPE, "application/octet-stream").header(HEADER_LENGTH, length),
            None => builder.header(CONTENT_TYPE, "application/json"),
        };
        builder.body(self.body.clone()).map_err(|error| internal(&error))
    }
}

fn head(builder: Builder, call: &Call<'_>) -> Builder {
    let left = call.deadline.saturating_duration_since(Instant::now());
    let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    let builder = builder.header(TIMEOUT_HEADER, left_ms);
    match &call.trace {
        Some(trace) => builder.header(TRACEPARENT, trace),
        None => builder,
    }
}

fn address(region: &Region, path: &str) -> Result<Url, Refusal> {
    region.config.url.join(path).map_err(|error| internal(&error))
}

/// What a region's answer means for the request.
fn judge(region: &Region, head: &Parts, body: &Bytes, took: Duration) -> Result<Answer, Miss> {
    if !head.status.is_success() {
        return Err(refused(region, head, body));
    }
    let json_length = header_number(&head.headers, HEADER_LENGTH);
    match forebay_oip::decode_response(body, json_length, &DecodeLimits::default()) {
        Ok(response) => Ok(Answer { response, timing: timing(&head.headers, took) }),
        Err(error) => {
            let refusal = Refusal::new(ProblemType::BadGateway, "a region gave an answer that cannot be read");
            Err(Miss::Elsewhere(refusal.because(error), "unreadable"))
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RegionProblem {
    r#type: String,
    detail: String,
}

/// A region's refusal: the caller's fault is told on, the region's own is tried elsewhere.
fn refused(region: &Region, head: &Parts, body: &Bytes) -> Miss {
    let problem: RegionProblem = serde_json::from_slice(body).unwrap_or_default();
    let kind = problem.r#type.rsplit('/').next().and_then(ProblemType::from_slug);
    let cause = format!("{} answered {}: {}", region.name(), head.status, problem.detail);
    match (head.status, kind) {
        (StatusCode::SERVICE_UNAVAILABLE, kind) => {
            let kind = kind.unwrap_or(ProblemType::Overloaded);
            let refusal = Refusal::new(kind, "every region that may answer is busy").because(cause);
            let after = header_number(&head.headers, "retry-after").unwrap_or(1);
            Miss::Elsewhere(refusal.retry_after(Duration::from_secs(after as u64)), "full")
        }
        (StatusCode::GATEWAY_TIMEOUT, _) => Miss::Final(Refusal::deadline("forward").because(cause)),
        (status, Some(kind)) if status.is_client_error() => Miss::Final(Refusal::new(kind, problem.detail)),
        _ => Miss::Elsewhere(
            Refusal::new(ProblemType::BadGateway, "the region that was asked failed").because(cause),
            "failed",
        ),
    }
}

/// The region's own `Server-Timing`, under its name, with the whole attempt as seen from here.
fn timing(headers: &HeaderMap, took: Duration) -> Option<String> {
    let said = headers.get("server-timing").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut text = format!("region;dur={:.3}", took.as_secs_f64() * 1e3);
    for entry in said.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        text.push_str(", region-");
        text.push_str(entry);
    }
    Some(text)
}

fn header_number(headers: &HeaderMap, name: &str) -> Option<usize> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn lost(region: &Region, error: &ClientError) -> Refusal {
    Refusal::new(ProblemType::BadGateway, "the region that was asked could not be reached")
        .because(format!("{}: {error}", region.name()))
}

fn no_region(target: &InferenceTarget) -> Refusal {
    let detail = if target.jurisdictions.is_empty() {
        "no region can answer now".to_owned()
    } else {
        format!("no region in {} can answer now, and this route may use no other", target.jurisdictions.join(", "))
    };
    Refusal::new(ProblemType::NoRegion, detail).retry_after(Duration::from_secs(1))
}

fn internal(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(ProblemType::Internal, "this request could not be forwarded").because(error)
}
