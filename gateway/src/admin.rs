//! The operators' door, on loopback: health, metrics, what this node sees, and the few things it can be told.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use forebay_http::{ConnectionInfo, Handler, Problem, ProblemType, RequestBody, ResponseBody};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::node::State;
use functions::FunctionStatus;
use plugins::PluginStatus;

mod functions;
mod plugins;
mod record;
mod revocations;

const JSON: &str = "application/json";
const PROMETHEUS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The admin API of a node.
pub struct Admin {
    state: Arc<State>,
}

impl Admin {
    /// The API over a node's state.
    pub fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    fn health(&self) -> Response<ResponseBody> {
        if self.state.draining() {
            return text(StatusCode::OK, "draining\n");
        }
        text(StatusCode::OK, "ok\n")
    }

    /// Ready: not draining, and every route that needs a region has one.
    fn ready(&self) -> Response<ResponseBody> {
        if self.state.draining() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        let edge = self.state.edge();
        let unserved: Vec<&str> = edge
            .routes
            .iter()
            .filter(|route| match &route.config.target {
                crate::config::Target::Inference(target) => !edge.regions.any_up(target),
                crate::config::Target::Origin(_) | crate::config::Target::Function(_) => false,
            })
            .map(|route| route.config.name.as_str())
            .collect();
        if unserved.is_empty() {
            return text(StatusCode::OK, "ready\n");
        }
        text(StatusCode::SERVICE_UNAVAILABLE, format!("no region for routes: {}\n", unserved.join(", ")))
    }

    fn status(&self) -> Response<ResponseBody> {
        let edge = self.state.edge();
        let now = Instant::now();
        let (entries, bytes) = edge.cache.size();
        let regions: Vec<_> = edge.regions.iter().map(|region| region.status(now)).collect();
        let routes: Vec<_> =
            edge.routes.iter().map(|route| json!({ "name": route.config.name, "path": route.config.path })).collect();
        json_response(&json!({
            "pop": edge.pop.name,
            "jurisdiction": edge.pop.jurisdiction,
            "version": env!("CARGO_PKG_VERSION"),
            "draining": self.state.draining(),
            "routes": routes,
            "regions": regions,
            "plugins": self.plugins(),
            "functions": edge.functions.iter().map(FunctionStatus::of).collect::<Vec<_>>(),
            "artefacts": self.artefacts(),
            "cache": { "entries": entries, "bytes": bytes },
        }))
    }

    fn artefacts(&self) -> Option<serde_json::Value> {
        self.state.artefacts().map(
            |did| json!({ "hits": did.hits, "misses": did.misses, "rejected": did.rejected, "stored": did.stored }),
        )
    }

    fn plugins(&self) -> Vec<PluginStatus> {
        self.state.edge().policies.iter().map(|policy| PluginStatus::of(policy)).collect()
    }

    /// The metrics, with what plugins and listeners count for themselves.
    fn metrics(&self) -> Response<ResponseBody> {
        let edge = self.state.edge();
        for policy in &edge.policies {
            edge.metrics.memo(policy.plugin.name(), policy.plugin.memo_stats());
        }
        respond(StatusCode::OK, PROMETHEUS, edge.metrics.text(&self.state.listener_counts()))
    }

    fn regions(&self) -> Response<ResponseBody> {
        let now = Instant::now();
        json_response(&self.state.edge().regions.iter().map(|region| region.status(now)).collect::<Vec<_>>())
    }

    fn drain(&self) -> Response<ResponseBody> {
        tracing::info!("drain asked for through the admin API");
        self.state.begin_drain();
        json_response(&json!({ "draining": true }))
    }

    async fn reload(&self) -> Response<ResponseBody> {
        match self.state.reload().await {
            Ok(()) => json_response(&json!({ "reloaded": true })),
            Err(error) => Problem::new(ProblemType::BadRequest).detail(error.to_string()).into_response(),
        }
    }
}

impl Handler for Admin {
    async fn handle(&self, _: &Arc<ConnectionInfo>, request: Request<RequestBody>) -> Response<ResponseBody> {
        let path = request.uri().path();
        if path == revocations::PATH {
            return match refuse_browsers(&request) {
                Ok(()) => revocations::answer(&self.state.edge().identities, request).await,
                Err(problem) => problem.into_response(),
            };
        }
        if let Some((name, act)) = plugins::act_of(path) {
            return match plugins::Head::of(&request) {
                Ok(head) => plugins::answer(&self.state, name, act, &head).await,
                Err(problem) => problem.into_response(),
            };
        }
        let wanted = match path {
            "/healthz" | "/readyz" | "/metrics" | "/v1/status" | "/v1/regions" | "/v1/plugins" => Method::GET,
            "/v1/drain" | "/v1/reload" => Method::POST,
            _ => {
                return Problem::new(ProblemType::NotFound).detail("the admin API has no such path").into_response();
            }
        };
        if request.method() != wanted {
            return Problem::new(ProblemType::MethodNotAllowed).allow(wanted.as_str()).into_response();
        }
        if let Err(problem) = refuse_browsers(&request) {
            return problem.into_response();
        }
        match path {
            "/healthz" => self.health(),
            "/readyz" => self.ready(),
            "/metrics" => self.metrics(),
            "/v1/status" => self.status(),
            "/v1/regions" => self.regions(),
            "/v1/plugins" => json_response(&self.plugins()),
            "/v1/drain" => self.drain(),
            _ => self.reload().await,
        }
    }
}

/// A page that an operator has open must not reach this API: neither by a form (`Origin`) nor by a name that was made to
/// point here (`Host`).
fn refuse_browsers(request: &Request<RequestBody>) -> Result<(), Problem> {
    let local = forebay_http::authority(request).is_some_and(|authority| {
        let host = authority.host();
        host.eq_ignore_ascii_case("localhost")
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    if !local || request.headers().contains_key(http::header::ORIGIN) {
        return Err(Problem::new(ProblemType::Forbidden).detail("the admin API answers local tools only"));
    }
    Ok(())
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<ResponseBody> {
    respond(status, "text/plain; charset=utf-8", body)
}

fn json_response<T: Serialize>(value: &T) -> Response<ResponseBody> {
    match serde_json::to_vec(value) {
        Ok(body) => respond(StatusCode::OK, JSON, body),
        Err(error) => Problem::new(ProblemType::Internal).detail(error.to_string()).into_response(),
    }
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
