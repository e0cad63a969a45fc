//! Stages `forward` to `policy: response` of a route that passes requests to an origin: bodies stream both ways, unless
//! a plugin must see a JSON body whole.

use forebay_http::{Body, BodyError, ProblemType, RequestBody, ResponseBody, collect_bounded};
use forebay_policy::Phase;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body::Body as _;

use super::{Work, respond};
use crate::config::OriginTarget;
use crate::error::Refusal;
use crate::exchange::Exchange;
use crate::policy::into_json;
use crate::policy::json_body::JsonBody;
use crate::policy::message::Contents;
use crate::telemetry::timing::Stage;
use crate::upstream::proxy::{Answer, Passing};

/// Passes a request on and its answer back.
pub(super) async fn answer(
    work: &Work<'_>,
    exchange: &mut Exchange,
    target: &OriginTarget,
    body: RequestBody,
) -> Result<Response<ResponseBody>, Refusal> {
    let Some(origin) = &work.route.origin else {
        return Err(Refusal::new(ProblemType::Internal, "this route has no origin"));
    };
    exchange.enter(Stage::Forward);
    let chain = &work.route.chain;
    let look_inside = chain.looks_into_answers();
    let body = leaving(work, exchange, body).await?;
    let passing = Passing {
        facts: &work.facts,
        pop: &work.edge.pop.name,
        forward_authorization: target.forward_authorization,
        trace: exchange.trace.header(),
        deadline: work.deadline,
        look_inside,
        idle: work.edge.limits.listener.idle,
    };
    let Answer { status, mut headers, body } = origin.pass(&passing, body).await?;

    let bodiless = work.facts.method == Method::HEAD || body.is_end_stream();
    if !look_inside || bodiless {
        exchange.enter(Stage::PolicyResponse);
        chain.on_response(status, &mut headers, None, work.identity, work.deadline).await?;
        return Ok(respond(status, headers, body));
    }
    let returned = returned(work, &headers, body).await?;
    exchange.enter(Stage::PolicyResponse);
    let shown = chain.on_response(status, &mut headers, Some(returned), work.identity, work.deadline).await?;
    let bytes = shown.map(|shown| into_json(shown.contents)).transpose()?.unwrap_or_default();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Ok(respond(status, headers, ResponseBody::full(bytes)))
}

/// The request's body: a stream, or JSON with its fields sealed. A plugin that seals must not be got around by another
/// content type, so there a body that is not JSON is refused.
async fn leaving(work: &Work<'_>, exchange: &mut Exchange, body: RequestBody) -> Result<Body, Refusal> {
    let limit = work.route.config.body_bytes;
    if !work.route.chain.has(Phase::Forward) {
        if body.size_hint().lower() > limit as u64 {
            return Err(BodyError::TooLarge { limit_bytes: limit as u64 }.into());
        }
        return Ok(body.limited(limit as u64, work.edge.limits.listener.idle));
    }
    let bytes = work.collect(exchange, body).await?;
    if bytes.is_empty() {
        return Ok(Body::full(bytes));
    }
    if !is_json(&work.facts.headers) {
        let detail = "this route takes JSON bodies only: its policies look into them";
        return Err(Refusal::new(ProblemType::MalformedBody, detail));
    }
    let body = JsonBody::read(&bytes)
        .map_err(|error| Refusal::new(ProblemType::MalformedBody, format!("the body is not JSON: {error}")))?;
    let sealed = work.route.chain.on_forward(Contents::Json(body), work.identity, work.deadline).await?;
    Ok(Body::full(into_json(sealed)?))
}

/// The origin's JSON answer, whole, with its fields opened. One that is something else could hold what is to be sealed
/// for the client where no plugin can find it.
async fn returned(work: &Work<'_>, headers: &HeaderMap, body: ResponseBody) -> Result<Contents, Refusal> {
    let broken =
        |cause: String| Refusal::new(ProblemType::BadGateway, "the origin's answer cannot be read").because(cause);
    if !is_json(headers) {
        return Err(broken("it is not JSON, and this route's policies look into it".into()));
    }
    let bytes = collect_bounded(body, work.edge.limits.answer_bytes, work.deadline.into()).await;
    let body = JsonBody::read(&bytes.map_err(|error| broken(error.to_string()))?);
    let body = body.map_err(|error| broken(error.to_string()))?;
    work.route.chain.on_return(Contents::Json(body), work.identity, work.deadline).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}
