//! One attempt at one region: what is sent, and what its answer means for the request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_http::ProblemType;
use forebay_oip::{DecodeLimits, Encoded, HEADER_LENGTH, InferResponse};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::response::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use serde::Deserialize;

use super::client::ClientError;
use super::region::Region;
use super::regions::{Call, no_region};
use crate::error::Refusal;
use crate::telemetry::trace::TRACEPARENT;

/// What is left of the deadline, in milliseconds: clocks differ between nodes, durations do not.
const TIMEOUT_HEADER: &str = "forebay-timeout-ms";
/// Content digest of the model that answered.
const DIGEST_HEADER: &str = "forebay-model-digest";
/// How much of a region's own words is passed on.
const DETAIL_CHARS: usize = 300;

/// The bytes of a request, the same for every attempt.
pub(super) struct Message {
    method: Method,
    path: String,
    body: Bytes,
    json_length: Option<usize>,
}

/// A region's answer.
pub(crate) struct Answer {
    /// The body as it came.
    pub(crate) body: Bytes,
    /// The canonical answer of an inference; empty for a question.
    pub(crate) response: InferResponse,
    /// Content digest of the model that gave it.
    pub(crate) digest: Option<String>,
    /// The region's own `Server-Timing`.
    pub(crate) timing: Option<String>,
}

/// How one attempt ended without an answer.
pub(super) enum Miss {
    /// Another region may do better.
    Elsewhere(Fault, Refusal),
    /// The answer would be the same everywhere.
    Final(Refusal),
}

/// What was wrong with a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection, or it broke.
    Lost,
    /// Another region had better be asked than this one waited for.
    Slow,
    /// It failed, or its answer cannot be read.
    Broken,
    /// It has no room now.
    Full,
    /// It is not what its last probe said: a model is gone, or its keys differ from ours.
    Stale,
}

impl Fault {
    /// Word for metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Slow => "slow",
            Self::Broken => "broken",
            Self::Full => "full",
            Self::Stale => "stale",
        }
    }

    /// Whether it counts against the region's health.
    pub(super) fn blames_region(self) -> bool {
        matches!(self, Self::Lost | Self::Slow | Self::Broken)
    }
}

impl Message {
    /// An inference.
    pub(super) fn infer(path: String, encoded: &Encoded) -> Self {
        Self { method: Method::POST, path, body: encoded.body.clone(), json_length: encoded.json_length }
    }

    /// A question about a model.
    pub(super) fn ask(path: String) -> Self {
        Self { method: Method::GET, path, body: Bytes::new(), json_length: None }
    }

    fn request(&self, region: &Region, call: &Call<'_>, left: Duration) -> Result<Request<Bytes>, Refusal> {
        let internal =
            |cause: String| Refusal::new(ProblemType::Internal, "this request could not be forwarded").because(cause);
        let url = region.config.url.join(&self.path).map_err(|error| internal(error.to_string()))?;
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut builder =
            Request::builder().method(self.method.clone()).uri(url.as_str()).header(TIMEOUT_HEADER, left_ms);
        if let Some(trace) = &call.trace {
            builder = builder.header(TRACEPARENT, trace);
        }
        if let Some(length) = self.json_length {
            builder = builder.header(CONTENT_TYPE, "application/octet-stream").header(HEADER_LENGTH, length);
        } else if self.method == Method::POST {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        builder.body(self.body.clone()).map_err(|error| internal(error.to_string()))
    }
}

/// Asks `region` until `until`, which is the deadline or, where another region could be asked, earlier.
pub(super) async fn attempt(
    region: &Arc<Region>,
    call: &Call<'_>,
    message: &Message,
    until: Instant,
    answer_max_bytes: usize,
) -> Result<Answer, Miss> {
    let started = Instant::now();
    let left = until.saturating_duration_since(started);
    let request = message.request(region, call, left).map_err(Miss::Final)?;
    let fetched = {
        let _at_region = region.enter();
        region.client.fetch(request, answer_max_bytes, left).await
    };
    let early = until < call.deadline;
    match fetched {
        Ok((head, body)) if head.status.is_success() => read(region, message, &head, body, started.elapsed()),
        Ok((head, body)) => Err(refused(region, &head, &body, early)),
        Err(error) => Err(missed(region, call, &error, early)),
    }
}

/// What no answer means.
fn missed(region: &Region, call: &Call<'_>, error: &ClientError, early: bool) -> Miss {
    let cause = format!("{}: {error}", region.name());
    match error {
        ClientError::TimedOut if early => Miss::Elsewhere(Fault::Slow, Refusal::deadline("forward").because(cause)),
        ClientError::TimedOut => Miss::Final(Refusal::deadline("forward").because(cause)),
        ClientError::TooLarge(limit) => {
            let detail = format!("the answer is longer than {limit} bytes, which is more than this node passes on");
            Miss::Final(Refusal::new(ProblemType::BadGateway, detail).because(cause))
        }
        ClientError::Exchange(_) | ClientError::Broken(_) => {
            Miss::Elsewhere(Fault::Lost, no_region(call.target).because(cause))
        }
    }
}

/// What a good answer says.
fn read(region: &Region, message: &Message, head: &Parts, body: Bytes, took: Duration) -> Result<Answer, Miss> {
    let response = if message.method == Method::POST {
        let json_length = number(&head.headers, HEADER_LENGTH);
        forebay_oip::decode_response(&body, json_length, &DecodeLimits::default()).map_err(|error| {
            let refusal = Refusal::new(ProblemType::BadGateway, "a region gave an answer that cannot be read");
            Miss::Elsewhere(Fault::Broken, refusal.because(format!("{}: {error}", region.name())))
        })?
    } else {
        InferResponse::default()
    };
    let digest = head.headers.get(DIGEST_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Answer { body, response, digest, timing: Some(timing(&head.headers, took)) })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RegionProblem {
    r#type: String,
    detail: String,
}

/// A region's refusal: the caller's fault is told on, the region's own is tried elsewhere. `early`: the request's deadline
/// is later than what the region was given.
fn refused(region: &Region, head: &Parts, body: &Bytes, early: bool) -> Miss {
    let problem: RegionProblem = serde_json::from_slice(body).unwrap_or_default();
    let kind = problem.r#type.rsplit('/').next().and_then(ProblemType::from_slug);
    let detail: String = problem.detail.chars().take(DETAIL_CHARS).collect();
    let cause = format!("{} answered {}: {detail}", region.name(), head.status);
    match (head.status, kind) {
        (StatusCode::SERVICE_UNAVAILABLE, kind) => {
            let kind = kind.unwrap_or(ProblemType::Overloaded);
            let after = number(&head.headers, RETRY_AFTER.as_str()).and_then(|s| u64::try_from(s).ok()).unwrap_or(1);
            let refusal = Refusal::new(kind, "every region that may answer is busy").because(cause);
            Miss::Elsewhere(Fault::Full, refusal.retry_after(Duration::from_secs(after)))
        }
        // It was told of its own time alone; the request has more.
        (StatusCode::GATEWAY_TIMEOUT, _) if early => {
            Miss::Elsewhere(Fault::Slow, Refusal::deadline("forward").because(cause))
        }
        (StatusCode::GATEWAY_TIMEOUT, _) => Miss::Final(Refusal::deadline("forward").because(cause)),
        // Clients send no sealed fields, so what does not open there was sealed here under another key.
        (_, Some(ProblemType::SealedField)) => {
            tracing::error!(region = region.name(), "a sealed field did not open: its keys differ from this node's");
            let refusal =
                Refusal::new(ProblemType::BadGateway, "the region that was asked cannot open what was sealed");
            Miss::Elsewhere(Fault::Stale, refusal.because(cause))
        }
        (_, Some(kind @ (ProblemType::ModelNotFound | ProblemType::RequestTimeout))) => {
            Miss::Elsewhere(Fault::Stale, Refusal::new(kind, detail).because(cause))
        }
        (status, Some(kind)) if status.is_client_error() => Miss::Final(Refusal::new(kind, detail)),
        _ => {
            let refusal = Refusal::new(ProblemType::BadGateway, "the region that was asked failed");
            Miss::Elsewhere(Fault::Broken, refusal.because(cause))
        }
    }
}

/// The region's own `Server-Timing` under its own names, after the whole attempt as seen from here.
fn timing(headers: &HeaderMap, took: Duration) -> String {
    let said = headers.get("server-timing").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut text = format!("region;dur={:.3}", took.as_secs_f64() * 1e3);
    for entry in said.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        text.push_str(", region-");
        text.push_str(entry);
    }
    text
}

fn number(headers: &HeaderMap, name: &str) -> Option<usize> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
