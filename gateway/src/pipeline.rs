//! The path of a request: one function that names the stages in order. Each stage is one call.
//!
//! accept (the listener) → route → admit → policy: request → decode → cache: lookup → forward → cache: store →
//! policy: response → encode → finish. Sealing happens where a message crosses the PoP's border, inside `forward`:
//! after the cache was asked, since a sealed question never looks like itself, and before the store, which keeps what
//! was opened.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use forebay_http::{ConnectionInfo, RequestBody, ResponseBody, collect_bounded};
use forebay_policy::{Context, Phase, Side};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use tracing::Instrument;

use crate::config::{InferenceTarget, OriginTarget, Target};
use crate::dialect::{self, Ask, ModelName};
use crate::edge::Edge;
use crate::error::Refusal;
use crate::exchange::Exchange;
use crate::identity::{Asked, Effort, Identity};
use crate::policy::body;
use crate::policy::view::RequestFacts;
use crate::route::Route;
use crate::telemetry::timing::Stage;
use crate::upstream::proxy;
use crate::upstream::regions::Call;
use websocket::Opening;

mod areas;
mod inference;
mod passing;
mod question;
pub(crate) mod websocket;

/// Answers one request. Whatever happens, there is a response, a log line and a count.
pub(crate) async fn handle(
    edge: &Arc<Edge>,
    connection: &ConnectionInfo,
    request: Request<RequestBody>,
) -> Response<ResponseBody> {
    let authority = forebay_http::authority(&request);
    let (head, body) = request.into_parts();
    let mut exchange = Exchange::begin(&head, connection.peer, &edge.metrics);
    let span = tracing::info_span!("request", trace = exchange.trace.id());
    let answered = stages(edge, connection, &mut exchange, authority, head, body).instrument(span).await;
    let response = match answered {
        Ok(response) => response,
        Err(refusal) => refused(&mut exchange, refusal).await,
    };
    exchange.finish(&edge.pop.name, response)
}

/// The response to a refusal, with what the route's policies add to every response. Before they were asked, nothing is
/// added.
async fn refused(exchange: &mut Exchange, refusal: Refusal) -> Response<ResponseBody> {
    let mut response = exchange.refuse(refusal);
    if let Some((chain, context)) = exchange.heard.take() {
        let status = response.status();
        chain.on_refusal(status, response.headers_mut(), &context).await;
    }
    response
}

/// The stages, in order.
async fn stages(
    edge: &Arc<Edge>,
    connection: &ConnectionInfo,
    exchange: &mut Exchange,
    authority: Option<Authority>,
    mut head: Parts,
    body: RequestBody,
) -> Result<Response<ResponseBody>, Refusal> {
    let host = authority.as_ref().map(|authority| authority.host().to_ascii_lowercase()).unwrap_or_default();
    exchange.enter(Stage::Route);
    let route = edge.routes.find(&host, &head)?;
    exchange.route(&route);
    let ask = ask(&route, &head)?;

    exchange.enter(Stage::Admit);
    let admitted = edge.admission.admit(Instant::now(), route.config.request)?;
    exchange.permit = Some(admitted.permit);

    exchange.enter(Stage::Identity);
    let (headers, method, path) = (&head.headers, &head.method, head.uri.path());
    let asked = Asked { headers, method, authority: authority.as_ref(), path, connection };
    let identity = identify(edge, exchange, &route, &asked, admitted.deadline).await?;

    exchange.enter(Stage::PolicyRequest);
    let opening = opening(&route, &mut head, &body);
    let facts = facts(&route, connection, exchange, host, head, ask.as_ref());
    let heard = route.chain.on_request(facts, &identity, admitted.deadline).await;
    let (facts, context) = exchange.heard(&route.chain, heard)?;
    if let (Target::Inference(target), Some(ask)) = (&route.config.target, &ask) {
        // After policy, which may answer any method: a browser asks with OPTIONS before it asks.
        ask.check_method(&facts.method)?;
        ask.check_model(target)?;
    }

    let target = areas::narrowed(&route.config.target, facts.areas.as_deref(), edge.pop.jurisdiction.as_deref())?;
    let work = Work { edge, route: &route, identity: &identity, facts, context, deadline: admitted.deadline };
    match (target.as_ref(), ask) {
        (Target::Inference(target), Some(Ask::Infer(name))) => {
            inference::answer(&work, exchange, target, &name, body).await
        }
        (Target::Inference(target), Some(ask)) => question::answer(&work, exchange, target, &ask).await,
        (Target::Origin(target), _) => match opening? {
            Some(opening) => websocket::answer(&work, exchange, target.forward_authorization, opening).await,
            None => passing::answer(&work, exchange, target.forward_authorization, body).await,
        },
        (Target::Function(target), _) => passing::answer(&work, exchange, target.forward_authorization, body).await,
        (Target::Inference(_), None) => Err(Refusal::new(forebay_http::ProblemType::NotFound, "nothing is asked here")),
    }
}

/// Stage `identity`: who is asking. A route with policies refuses what they could not judge, such as a token whose
/// issuer cannot be asked for its keys; elsewhere nobody looks.
async fn identify(
    edge: &Edge,
    exchange: &mut Exchange,
    route: &Route,
    asked: &Asked<'_>,
    deadline: Instant,
) -> Result<Identity, Refusal> {
    let is_judged = !route.config.policies.is_empty();
    let effort = if is_judged { Effort::Full } else { Effort::AtHand };
    let verified = edge.identities.verify(asked, effort, deadline).await;
    exchange.identified(&verified);
    let identity = is_judged.then_some(&verified.identity);
    exchange.span = Some(edge.identities.span(identity, edge.limits.stream));
    match verified.refusal().filter(|_| is_judged) {
        Some(refusal) => Err(refusal),
        None => Ok(verified.identity),
    }
}

/// What every later stage needs of a request that was let in.
struct Work<'a> {
    edge: &'a Arc<Edge>,
    route: &'a Route,
    identity: &'a Identity,
    facts: Arc<RequestFacts>,
    /// What hooks are called with.
    context: Context,
    deadline: Instant,
}

impl<'a> Work<'a> {
    /// The request's whole body as policies leave it, within the route's limit and the node's room for bodies.
    async fn collect(&self, exchange: &mut Exchange, body: RequestBody) -> Result<Bytes, Refusal> {
        let limit = self.route.config.body_bytes;
        let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        exchange.room = Some(self.edge.admission.room(announced.unwrap_or(limit).min(limit))?);
        let (chain, headers) = (&self.route.chain, &self.facts.headers);
        if !chain.changes_requests() {
            return Ok(collect_bounded(body, limit, self.deadline.into()).await?);
        }
        body::check_request(headers)?;
        let (body, fault) = chain.streamed(Side::Request, headers, body, &self.context).await?;
        let bytes = collect_bounded(body, limit, self.deadline.into()).await;
        let bytes = bytes.map_err(|error| fault.lock().take().unwrap_or_else(|| error.into()))?;
        chain.on_body(Side::Request, headers, bytes, &self.context).await
    }

    /// The answer as it goes to the client, when all of it is there.
    async fn reply(
        &self,
        status: StatusCode,
        mut headers: HeaderMap,
        bytes: Bytes,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let chain = &self.route.chain;
        if !chain.looks_into(Side::Response) {
            return Ok(respond(status, headers, ResponseBody::full(bytes)));
        }
        let bytes = chain.on_body(Side::Response, &headers, bytes, &self.context).await?;
        body::forget_bytes(&mut headers);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        self.stream(status, headers, ResponseBody::full(bytes)).await
    }

    /// The answer as it goes to the client, while it comes.
    async fn stream(
        &self,
        status: StatusCode,
        mut headers: HeaderMap,
        body: ResponseBody,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let chain = &self.route.chain;
        if chain.has(Phase::ResponseChunk) {
            body::forget_bytes(&mut headers);
        }
        let (body, _) = chain.streamed(Side::Response, &headers, body, &self.context).await?;
        Ok(respond(status, headers, body))
    }

    /// The call to a region that this request makes.
    fn call(&self, exchange: &Exchange, target: &'a InferenceTarget, name: &'a ModelName) -> Call<'a> {
        Call {
            target,
            model: &name.model,
            version: name.version.as_deref(),
            deadline: self.deadline,
            trace: exchange.trace.header(),
        }
    }
}

/// What the head asks, on a route whose dialect can tell.
fn ask(route: &Route, head: &Parts) -> Result<Option<Ask>, Refusal> {
    match &route.config.target {
        Target::Inference(_) => Ok(Some(dialect::oip::ask(route.inner_path(head.uri.path()))?)),
        Target::Origin(_) | Target::Function(_) => Ok(None),
    }
}

/// The client's part of the opening of a WebSocket, on a route that has them. What is wrong with it is told after the
/// policies had their say.
fn opening(route: &Route, head: &mut Parts, body: &RequestBody) -> Result<Option<Opening>, Refusal> {
    match &route.config.target {
        Target::Origin(OriginTarget { websocket: true, .. }) => Opening::of(head, body),
        _ => Ok(None),
    }
}

/// The head as policies see and change it: without the fields of the connection, so that a client cannot have one
/// removed that a policy sets, without claims that are ours to make, and with one `Cookie`.
fn facts(
    route: &Route,
    connection: &ConnectionInfo,
    exchange: &Exchange,
    host: String,
    head: Parts,
    ask: Option<&Ask>,
) -> RequestFacts {
    let mut headers = head.headers;
    proxy::strip_hop_by_hop(&mut headers);
    proxy::strip_claims(&mut headers);
    proxy::join_cookies(&mut headers);
    RequestFacts {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        host,
        headers,
        route: route.config.name.clone(),
        model: ask.and_then(Ask::model).map(|name| name.model.clone()),
        dialect: match route.config.target {
            Target::Inference(_) => "oip",
            Target::Origin(_) | Target::Function(_) => "http",
        },
        peer: connection.peer.ip(),
        version: head.version,
        trace_id: exchange.trace.id().to_owned(),
        areas: None,
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
