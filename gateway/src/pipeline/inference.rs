//! Stages `decode` to `encode` of an inference.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_http::{ProblemType, RequestBody, ResponseBody};
use forebay_oip::sealed::{NONCE, Nonce};
use forebay_oip::{Encoded, Encoding, InferRequest, InferResponse, OutputEncodings};
use forebay_policy::{Phase, Side};
use http::{HeaderMap, Response, StatusCode};

use super::Work;
use crate::cache::{Key, Lookup, Stored, key};
use crate::config::{InferenceTarget, Scope};
use crate::dialect::ModelName;
use crate::dialect::oip::{self, Decoded};
use crate::error::Refusal;
use crate::exchange::Exchange;
use crate::policy::message::Contents;
use crate::policy::{into_request, into_response};
use crate::telemetry::timing::Stage;

/// From this many bytes on, a body is read off the threads that serve other requests.
const OFF_THREAD_BYTES: usize = 256 * 1024;

/// Answers an inference.
pub(super) async fn answer(
    work: &Work<'_>,
    exchange: &mut Exchange,
    target: &InferenceTarget,
    name: &ModelName,
    body: RequestBody,
) -> Result<Response<ResponseBody>, Refusal> {
    exchange.model(&name.model);
    exchange.enter(Stage::Decode);
    let body = work.collect(exchange, body).await?;
    let Decoded { request, encodings } = decode(work, body).await?;
    let id = request.id.clone();

    exchange.enter(Stage::CacheLookup);
    let stored = stored(work, exchange, target, name, request).await?;

    exchange.enter(Stage::PolicyResponse);
    let mut headers = HeaderMap::new();
    oip::declare(&mut headers, &stored.answer, &encodings);
    let changed = policy_response(work, name, &stored, &mut headers).await?;

    exchange.enter(Stage::Encode);
    let encoded = encode(&stored, changed, id, &encodings)?;
    oip::describe(&mut headers, &encoded);
    let looks = work.route.chain.looks_into(Side::Response);
    let room = looks.then(|| work.edge.admission.room(encoded.body.len())).transpose()?;
    let response = work.reply(StatusCode::OK, headers, encoded.body).await?;
    Ok(match room {
        // It is held until the client has taken it.
        Some(room) => response.map(|body| body.on_finish(move |_| drop(room))),
        None => response,
    })
}

/// The canonical answer: from the cache, from another request's flight, or from a region.
async fn stored(
    work: &Work<'_>,
    exchange: &mut Exchange,
    target: &InferenceTarget,
    name: &ModelName,
    request: InferRequest,
) -> Result<Arc<Stored>, Refusal> {
    let question = match question(work, exchange, target, name, &request) {
        Ok(question) => question,
        Err(why) => {
            exchange.cache("bypass", format!("fwd=bypass; detail={why}"));
            return forward(work, exchange, target, name, request, Duration::ZERO).await.map(|(stored, _)| stored);
        }
    };
    let Question { key, ttl, digest } = question;
    let found = work.edge.cache.lookup(key, ttl, work.deadline).await;
    match found.map_err(|_| Refusal::deadline("cache-lookup"))? {
        Lookup::Hit(stored) => {
            let left = ttl.saturating_sub(stored.age(Instant::now()));
            exchange.cache("hit", format!("hit; ttl={}", left.as_secs()));
            Ok(stored)
        }
        Lookup::Joined(stored) => {
            exchange.cache("collapsed", "fwd=miss; collapsed".into());
            Ok(stored)
        }
        Lookup::Alone => {
            exchange.cache("miss", "fwd=miss; detail=flight-failed".into());
            forward(work, exchange, target, name, request, ttl).await.map(|(stored, _)| stored)
        }
        Lookup::Lead(leader) => {
            exchange.cache("miss", "fwd=miss".into());
            let (stored, by) = match forward(work, exchange, target, name, request, ttl).await {
                Ok(answered) => answered,
                Err(refusal) => {
                    leader.fail();
                    return Err(refusal);
                }
            };
            exchange.enter(Stage::CacheStore);
            // A region whose model changed since its last probe answers another question than the key says.
            let keep = by.is_some_and(|by| by == digest);
            leader.finish(Arc::clone(&stored), keep);
            if keep {
                exchange.cache_status = Some(format!("fwd=miss; stored; ttl={}", ttl.as_secs()));
            }
            Ok(stored)
        }
    }
}

/// What the cache knows a request by.
struct Question {
    key: Key,
    ttl: Duration,
    /// Content digest of the model that the regions agree on.
    digest: String,
}

/// The question that a request asks, or why it is not cached.
fn question(
    work: &Work<'_>,
    exchange: &Exchange,
    target: &InferenceTarget,
    name: &ModelName,
    request: &InferRequest,
) -> Result<Question, &'static str> {
    let rule = target.cache.ok_or("no-rule")?;
    let tenant = match rule.scope {
        Scope::Public => None,
        Scope::Tenant => Some(work.identity.tenant().ok_or("no-tenant")?),
    };
    let model = work.edge.regions.agreed_model(&work.call(exchange, target, name)).ok_or("model-not-agreed")?;
    let scope = key::Scope {
        tenant,
        model: &name.model,
        version: name.version.as_deref(),
        digest: &model.digest,
        jurisdictions: &target.jurisdictions,
        regions: &target.regions,
        policies: work.route.chain.digest(),
    };
    Ok(Question { key: Key::of(&scope, request), ttl: rule.ttl, digest: model.digest })
}

/// Across the PoP's border and back: sealed on the way out, opened on the way in. With the answer comes the digest of the
/// model that gave it.
async fn forward(
    work: &Work<'_>,
    exchange: &mut Exchange,
    target: &InferenceTarget,
    name: &ModelName,
    mut request: InferRequest,
    ttl: Duration,
) -> Result<(Arc<Stored>, Option<String>), Refusal> {
    exchange.enter(Stage::Forward);
    let chain = &work.route.chain;
    // What is sealed on this way belongs to this request and no other one.
    let nonce = chain.has(Phase::Forward).then(|| Nonce::from(rand::random::<[u8; 16]>()));
    if let Some(nonce) = nonce {
        request.parameters.insert(NONCE.to_owned(), nonce.to_string().into());
    }
    let leaving = Contents::Request { model: name.model.clone(), request };
    let leaving = into_request(chain.on_forward(leaving, &work.context).await?)?;

    let call = work.call(exchange, target, name);
    let answer = work.edge.regions.infer(&call, leaving, &mut exchange.trail).await?;
    exchange.region_timing = answer.timing;

    let returned = Contents::Response { model: name.model.clone(), nonce, response: answer.response };
    let returned = into_response(chain.on_return(returned, &work.context).await?)?;
    Ok((Arc::new(Stored::new(returned, Instant::now(), ttl)), answer.digest))
}

/// Shows the answer to the plugins; gives it back where one of them could have changed it.
async fn policy_response(
    work: &Work<'_>,
    name: &ModelName,
    stored: &Stored,
    headers: &mut HeaderMap,
) -> Result<Option<InferResponse>, Refusal> {
    let chain = &work.route.chain;
    if !chain.has(Phase::Response) {
        return Ok(None);
    }
    let contents = Contents::Response { model: name.model.clone(), nonce: None, response: stored.answer.clone() };
    let shown = chain.on_response(StatusCode::OK, headers, Some(contents), &work.context).await?;
    shown.filter(|shown| shown.touched).map(|shown| into_response(shown.contents)).transpose()
}

/// Reads the body; a long one on a thread that may block, so that other requests go on.
async fn decode(work: &Work<'_>, body: Bytes) -> Result<Decoded, Refusal> {
    if body.len() < OFF_THREAD_BYTES {
        return oip::decode(&work.facts.headers, &body);
    }
    let headers = work.facts.headers.clone();
    let decoded = tokio::task::spawn_blocking(move || oip::decode(&headers, &body)).await;
    decoded
        .unwrap_or_else(|died| Err(Refusal::new(ProblemType::Internal, "this request could not be read").because(died)))
}

/// The caller's form. The common one, unchanged plain JSON without an `id`, is made once per entry.
fn encode(
    stored: &Stored,
    changed: Option<InferResponse>,
    id: Option<String>,
    encodings: &OutputEncodings,
) -> Result<Encoded, Refusal> {
    if changed.is_none() && id.is_none() && *encodings == OutputEncodings::all(Encoding::Json) {
        return stored.json(|| oip::encode(&stored.answer, encodings));
    }
    let mut response = changed.unwrap_or_else(|| stored.answer.clone());
    response.id = id;
    oip::encode(&response, encodings)
}
