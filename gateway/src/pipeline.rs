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
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;
use tracing::Instrument;

use crate::config::{InferenceTarget, Target};
use crate::dialect::{self, Ask, ModelName};
use crate::edge::Edge;
use crate::error::Refusal;
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::policy::view::RequestFacts;
use crate::route::Route;
use crate::telemetry::timing::Stage;
use crate::upstream::proxy;
use crate::upstream::regions::Call;

mod inference;
mod passing;
mod question;

/// Answers one request. Whatever happens, there is a response, a log line and a count.
pub(crate) async fn handle(
    edge: &Arc<Edge>,
    connection: &ConnectionInfo,
    request: Request<RequestBody>,
) -> Response<ResponseBody> {
    let host =
        forebay_http::authority(&request).map(|authority| authority.host().to_ascii_lowercase()).unwrap_or_default();
    let (head, body) = request.into_parts();
    let mut exchange = Exchange::begin(&head, connection.peer, &edge.metrics);
    let span = tracing::info_span!("request", trace = exchange.trace.id());
    let answered = stages(edge, &mut exchange, host, head, body).instrument(span).await;
    let response = answered.unwrap_or_else(|refusal| exchange.refuse(refusal));
    exchange.finish(&edge.pop.name, response)
}

/// The stages, in order.
async fn stages(
    edge: &Arc<Edge>,
    exchange: &mut Exchange,
    host: String,
    head: Parts,
    body: RequestBody,
) -> Result<Response<ResponseBody>, Refusal> {
    exchange.enter(Stage::Route);
    let route = edge.routes.find(&host, &head)?;
    exchange.route(&route);
    let ask = ask(&route, &head)?;

    exchange.enter(Stage::Admit);
    let admitted = edge.admission.admit(Instant::now(), route.config.request)?;
    exchange.permit = Some(admitted.permit);

    exchange.enter(Stage::Identity);
    let identity = edge.identities.verify(&head.headers, admitted.deadline).await;
    exchange.tenant(identity.tenant());

    exchange.enter(Stage::PolicyRequest);
    let facts = facts(&route, host, head, ask.as_ref());
    let facts = route.chain.on_request(facts, &identity, admitted.deadline).await?;
    if let (Target::Inference(target), Some(ask)) = (&route.config.target, &ask) {
        ask.check_model(target)?;
    }

    let work = Work { edge, route: &route, identity: &identity, facts, deadline: admitted.deadline };
    match (&route.config.target, ask) {
        (Target::Inference(target), Some(Ask::Infer(name))) => {
            inference::answer(&work, exchange, target, &name, body).await
        }
        (Target::Inference(target), Some(ask)) => question::answer(&work, exchange, target, &ask).await,
        (Target::Origin(target), _) => passing::answer(&work, exchange, target, body).await,
        (Target::Inference(_), None) => Err(Refusal::new(forebay_http::ProblemType::NotFound, "nothing is asked here")),
    }
}

/// What every later stage needs of a request that was let in.
struct Work<'a> {
    edge: &'a Arc<Edge>,
    route: &'a Route,
    identity: &'a Identity,
    facts: RequestFacts,
    deadline: Instant,
}

impl<'a> Work<'a> {
    /// The request's whole body, within the route's limit and the node's room for bodies.
    async fn collect(&self, exchange: &mut Exchange, body: RequestBody) -> Result<Bytes, Refusal> {
        let limit = self.route.config.body_bytes;
        let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        exchange.room = Some(self.edge.admission.room(announced.unwrap_or(limit).min(limit))?);
        Ok(collect_bounded(body, limit, self.deadline.into()).await?)
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
        Target::Inference(_) => {
            let ask = dialect::oip::ask(route.inner_path(head.uri.path()))?;
            ask.check_method(&head.method)?;
            Ok(Some(ask))
        }
        Target::Origin(_) => Ok(None),
    }
}

/// The head as policies see and change it: without the fields of the connection, so that a client cannot have one
/// removed that a policy sets, without claims that are ours to make, and with one `Cookie`.
fn facts(route: &Route, host: String, head: Parts, ask: Option<&Ask>) -> RequestFacts {
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
            Target::Origin(_) => "http",
        },
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
