//! Stages `decode` to `encode` of an inference.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_http::{RequestBody, ResponseBody, collect_bounded};
use forebay_oip::{Encoded, Encoding, InferRequest, InferResponse, OutputEncodings};
use forebay_policy::Phase;
use http::{HeaderMap, Response, StatusCode};

use super::{Work, respond};
use crate::cache::{Key, Lookup, Stored, key};
use crate::config::{CacheRule, InferenceTarget, Scope};
use crate::dialect::ModelName;
use crate::dialect::oip::{self, Decoded};
use crate::error::Refusal;
use crate::exchange::Exchange;
use crate::policy::message::Contents;
use crate::policy::{into_request, into_response};
use crate::telemetry::timing::Stage;

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
    let body = collect_bounded(body, work.route.config.body_bytes, work.deadline.into()).await?;
    let Decoded { request, encodings } = oip::decode(&work.facts.headers, &body)?;
    let id = request.id.clone();

    exchange.enter(Stage::CacheLookup);
    let stored = stored(work, exchange, target, name, request).await?;

    exchange.enter(Stage::PolicyResponse);
    let mut headers = HeaderMap::new();
    let changed = policy_response(work, name, &stored, &mut headers).await?;

    exchange.enter(Stage::Encode);
    let encoded = encode(&stored, changed, id, &encodings)?;
    oip::describe(&mut headers, &encoded);
    Ok(respond(StatusCode::OK, headers, ResponseBody::full(encoded.body)))
}

/// The canonical answer: from the cache, from another request's flight, or from a region.
async fn stored(
    work: &Work<'_>,
    exchange: &mut Exchange,
    target: &InferenceTarget,
    name: &ModelName,
    request: InferRequest,
) -> Result<Arc<Stored>, Refusal> {
    let (rule, key) = match key(work, target, name, &request) {
        Ok(found) => found,
        Err(why) => {
            exchange.cache("bypass", format!("fwd=bypass; detail={why}"));
            return forward(work, exchange, target, name, request, Duration::ZERO).await;
        }
    };
    let found = work.edge.cache.lookup(key, work.deadline).await;
    match found.map_err(|_| Refusal::deadline("cache-lookup"))? {
        Lookup::Hit(stored) => {
            exchange.cache("hit", format!("hit; ttl={}", stored.fresh_s(Instant::now())));
            Ok(stored)
        }
        Lookup::Joined(stored) => {
            exchange.cache("collapsed", "fwd=miss; collapsed".into());
            Ok(stored)
        }
        Lookup::Lead(leader) => {
            exchange.cache("miss", "fwd=miss".into());
            let stored = forward(work, exchange, target, name, request, rule.ttl).await?;
            exchange.enter(Stage::CacheStore);
            leader.finish(Arc::clone(&stored));
            exchange.cache_status = Some(format!("fwd=miss; stored; ttl={}", rule.ttl.as_secs()));
            Ok(stored)
        }
    }
}

/// The question's key, or why this request is not cached.
fn key(
    work: &Work<'_>,
    target: &InferenceTarget,
    name: &ModelName,
    request: &InferRequest,
) -> Result<(CacheRule, Key), &'static str> {
    let rule = target.cache.ok_or("no-rule")?;
    let tenant = match rule.scope {
        Scope::Public => None,
        Scope::Tenant => Some(work.identity.tenant().ok_or("no-tenant")?),
    };
    let version = name.version.as_deref();
    let model = work.edge.regions.agreed_model(target, &name.model, version).ok_or("model-not-agreed")?;
    let scope = key::Scope {
        tenant,
        model: &name.model,
        version,
        digest: &model.digest,
        jurisdictions: &target.jurisdictions,
        policies: work.route.chain.digest(),
    };
    Ok((rule, Key::of(&scope, request)))
}

/// Across the PoP's border and back: sealed on the way out, opened on the way in.
async fn forward(
    work: &Work<'_>,
    exchange: &mut Exchange,
    target: &InferenceTarget,
    name: &ModelName,
    request: InferRequest,
    ttl: Duration,
) -> Result<Arc<Stored>, Refusal> {
    exchange.enter(Stage::Forward);
    let chain = &work.route.chain;
    let leaving = Contents::Request { model: name.model.clone(), request };
    let leaving = into_request(chain.on_forward(leaving, work.identity, work.deadline).await?)?;

    let call = work.call(exchange, target, name);
    let answer = work.edge.regions.infer(&call, &leaving, &mut exchange.trail).await?;
    exchange.region_timing = answer.timing;

    let returned = Contents::Response { model: name.model.clone(), response: answer.response };
    let returned = into_response(chain.on_return(returned, work.identity, work.deadline).await?)?;
    Ok(Arc::new(Stored::new(returned, Instant::now(), ttl)))
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
    let contents = Contents::Response { model: name.model.clone(), response: stored.answer.clone() };
    let contents = chain.on_response(StatusCode::OK, headers, Some(contents), work.identity, work.deadline).await?;
    contents.map(into_response).transpose()
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
