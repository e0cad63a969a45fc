//! Stages `forward` to `policy: response` of a route that passes requests to an origin: bodies stream both ways, unless
//! a plugin must see a JSON body whole.

use std::sync::Arc;

use bytes::Bytes;
use forebay_http::{Body, BodyError, ProblemType, RequestBody, ResponseBody, collect_bounded};
use forebay_policy::{Phase, Side};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use tokio::sync::OwnedSemaphorePermit;

use super::{Work, respond};
use crate::admit::Admission;
use crate::error::Refusal;
use crate::exchange::Exchange;
use crate::function;
use crate::policy::body::{Fault, check_request, forget_bytes, guarded, unreadable as unreadable_head};
use crate::policy::into_json;
use crate::policy::json_body::JsonBody;
use crate::policy::message::Contents;
use crate::telemetry::timing::Stage;
use crate::upstream::proxy::{Answer, Passing};
use crate::upstream::trailers::Trailers;

/// Passes a request on and its answer back.
pub(super) async fn answer(
    work: &Work<'_>,
    exchange: &mut Exchange,
    forward_authorization: bool,
    body: RequestBody,
) -> Result<Response<ResponseBody>, Refusal> {
    exchange.enter(Stage::Forward);
    let chain = &work.route.chain;
    let look_inside = chain.looks_into_answers() || chain.looks_into(Side::Response);
    let (body, fault) = leaving(work, exchange, body).await?;
    let passing = Passing {
        facts: &work.facts,
        pop: &work.edge.pop.name,
        forward_authorization,
        trace: exchange.trace.header(),
        deadline: work.deadline,
        look_inside,
        changed: chain.changes_requests(),
        idle: work.edge.limits.listener.idle,
    };
    let answered = match behind(work, &passing, body).await {
        Ok(Answer { status, headers, body }) => {
            back(work, exchange, Answer { status, headers, body: guarded(body, &fault) }).await
        }
        Err(refusal) => Err(refusal),
    };
    // What a plugin refused in the body is what the client is told, not what became of half a request behind it.
    let refused = fault.lock().take();
    refused.map_or(answered, Err)
}

/// Passes an origin's answer back.
pub(super) async fn back(
    work: &Work<'_>,
    exchange: &mut Exchange,
    answer: Answer,
) -> Result<Response<ResponseBody>, Refusal> {
    let chain = &work.route.chain;
    let by_field = chain.looks_into_answers();
    let look_inside = by_field || chain.looks_into(Side::Response);
    let Answer { status, mut headers, body } = answer;
    let bodiless = work.facts.method == Method::HEAD || body.is_end_stream();
    if look_inside {
        // Also where there is no body: this is what is said of the one that a GET would bring, or brought.
        forget_bytes(&mut headers);
        if let Some(cause) = unreadable_head(status, &headers).filter(|_| !bodiless) {
            return Err(unreadable(cause));
        }
    }
    if bodiless {
        exchange.enter(Stage::PolicyResponse);
        chain.on_response(status, &mut headers, None, &work.context).await?;
        return Ok(respond(status, headers, body));
    }
    let body = if look_inside && !chain.has(Phase::Trailers) { Trailers::None } else { Trailers::OfAnswer }.of(body);
    if !by_field && !chain.has(Phase::ResponseBody) {
        exchange.enter(Stage::PolicyResponse);
        chain.on_response(status, &mut headers, None, &work.context).await?;
        return work.stream(status, headers, body).await;
    }
    let mut room = room(work, &body)?;
    let response = match by_field {
        true => opened(work, exchange, status, headers, body, &mut room).await?,
        false => {
            exchange.enter(Stage::PolicyResponse);
            chain.on_response(status, &mut headers, None, &work.context).await?;
            let bytes = whole(work, body, &mut room).await?;
            work.reply(status, headers, bytes).await?
        }
    };
    // It is held until the client has taken it.
    Ok(response.map(|body| body.on_finish(move |_| drop(room))))
}

/// An answer whose fields policies open and seal.
async fn opened(
    work: &Work<'_>,
    exchange: &mut Exchange,
    status: StatusCode,
    mut headers: HeaderMap,
    body: ResponseBody,
    room: &mut OwnedSemaphorePermit,
) -> Result<Response<ResponseBody>, Refusal> {
    let returned = returned(work, &headers, body, room).await?;
    exchange.enter(Stage::PolicyResponse);
    let shown = work.route.chain.on_response(status, &mut headers, Some(returned), &work.context).await?;
    let bytes = shown.map(|shown| into_json(shown.contents)).transpose()?.unwrap_or_default();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    work.reply(status, headers, bytes).await
}

/// Room for an answer that is held whole: for what it announces, or else for the most that it may have.
fn room(work: &Work<'_>, body: &Body) -> Result<OwnedSemaphorePermit, Refusal> {
    let limit = work.edge.limits.answer_bytes;
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    work.edge.admission.room(announced.unwrap_or(limit).min(limit))
}

/// All of an answer, in no more room than it needs.
async fn whole(work: &Work<'_>, body: Body, room: &mut OwnedSemaphorePermit) -> Result<Bytes, Refusal> {
    let bytes = collect_bounded(body, work.edge.limits.answer_bytes, work.deadline.into()).await.map_err(unreadable)?;
    Admission::trim(room, bytes.len());
    Ok(bytes)
}

/// Whoever answers this route: its origin, its function, or middleware in front of either.
async fn behind(work: &Work<'_>, passing: &Passing<'_>, body: Body) -> Result<Answer, Refusal> {
    match &work.route.origin {
        Some(origin) if work.route.stack.is_empty() => origin.pass(passing, body).await,
        _ => function::pass(work.edge, work.route, passing, body).await,
    }
}

/// An answer that this route's policies cannot look into.
fn unreadable(cause: impl std::fmt::Display) -> Refusal {
    Refusal::new(ProblemType::BadGateway, "the origin's answer cannot be read").because(cause)
}

/// The request's body: a stream, or JSON with its fields sealed. A plugin that seals must not be got around by another
/// content type, so there a body that is not JSON is refused.
async fn leaving(work: &Work<'_>, exchange: &mut Exchange, body: RequestBody) -> Result<(Body, Fault), Refusal> {
    let (chain, limit) = (&work.route.chain, work.route.config.body_bytes);
    let hidden = chain.looks_into(Side::Request) && !chain.has(Phase::Trailers);
    let trailers = if hidden { Trailers::None } else { Trailers::Beside(Arc::clone(&work.facts)) };
    let body = trailers.of(body);
    if !chain.has(Phase::Forward) && !chain.has(Phase::RequestBody) {
        if body.size_hint().lower() > limit as u64 {
            return Err(BodyError::TooLarge { limit_bytes: limit as u64 }.into());
        }
        if chain.has(Phase::RequestChunk) {
            check_request(&work.facts.headers)?;
        }
        let body = body.limited(limit as u64, work.edge.limits.listener.idle);
        return chain.streamed(Side::Request, &work.facts.headers, body, &work.context).await;
    }
    let bytes = work.collect(exchange, body).await?;
    if bytes.is_empty() || !chain.has(Phase::Forward) {
        return Ok((Body::full(bytes), Fault::default()));
    }
    if !is_json(&work.facts.headers) {
        let detail = "this route takes JSON bodies only: its policies look into them";
        return Err(Refusal::new(ProblemType::MalformedBody, detail));
    }
    let body = JsonBody::read(&bytes)
        .map_err(|error| Refusal::new(ProblemType::MalformedBody, format!("the body is not JSON: {error}")))?;
    let sealed = work.route.chain.on_forward(Contents::Json(body), &work.context).await?;
    Ok((Body::full(into_json(sealed)?), Fault::default()))
}

/// The origin's JSON answer, whole, with its fields opened. One that is something else could hold what is to be sealed
/// for the client where no plugin can find it.
async fn returned(
    work: &Work<'_>,
    headers: &HeaderMap,
    body: ResponseBody,
    room: &mut OwnedSemaphorePermit,
) -> Result<Contents, Refusal> {
    if !is_json(headers) {
        return Err(unreadable("it is not JSON, and this route's policies look into it"));
    }
    let body = JsonBody::read(&whole(work, body, room).await?).map_err(unreadable)?;
    work.route.chain.on_return(Contents::Json(body), &work.context).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}
