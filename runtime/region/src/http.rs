//! A request from its head to its answer. Start reading at `Region::handle`.

use std::sync::Arc;

use bytes::Bytes;
use forebay_http::{ConnectionInfo, Handler, ListenerStats, RequestBody, ResponseBody};
use forebay_inference::Model;
use forebay_oip::path::{self, Operation};
use forebay_seal::Keyring;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::RegionConfig;
use crate::admission::Admission;
use crate::catalog::Catalog;
use crate::error::RequestError;
use crate::exchange::{Exchange, INFER, PROBE};
use crate::headers::trace_id;
use crate::metrics::{Metrics, OPEN_METRICS};

/// Response header: the region that answered.
const REGION: HeaderName = HeaderName::from_static("forebay-region");
const JSON: &str = "application/json";
/// What the edge's probe asks for.
const NODE_PATH: &str = "/forebay/v1/node";

pub(crate) type Answer = Result<Response<ResponseBody>, RequestError>;

/// What every request of the node is answered from.
pub(crate) struct Region {
    pub(crate) config: RegionConfig,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) catalog: Catalog,
    pub(crate) admission: Admission,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) listener: Arc<ListenerStats>,
    pub(crate) stop: CancellationToken,
}

impl Handler for Region {
    async fn handle(&self, _: &Arc<ConnectionInfo>, request: Request<RequestBody>) -> Response<ResponseBody> {
        let mut exchange = Exchange::begin(Arc::clone(&self.metrics), trace_id(request.headers()));
        let mut response = match self.answer(request, &mut exchange).await {
            Ok(response) => {
                exchange.answered(response.status(), None);
                response
            }
            Err(error) => refuse(&error, &mut exchange),
        };
        if let Ok(name) = HeaderValue::from_str(self.config.name()) {
            response.headers_mut().insert(REGION, name);
        }
        response.map(|body| body.on_finish(move |finish| exchange.finished(finish)))
    }
}

/// What can be asked of a region.
enum Target {
    Protocol(Operation),
    Node,
    Metrics,
}

impl Region {
    async fn answer(&self, request: Request<RequestBody>, exchange: &mut Exchange) -> Answer {
        let target = target(request.uri().path()).ok_or(RequestError::NoSuchPath)?;
        exchange.operation = target.name();
        target.check_method(request.method())?;
        match target {
            Target::Protocol(Operation::Infer { model, version }) => {
                self.infer(&model, version.as_deref(), request, exchange).await
            }
            Target::Protocol(Operation::ServerMetadata) => Ok(json_answer(&server_metadata())),
            Target::Protocol(Operation::Live) => Ok(json_answer(&json!({"live": true}))),
            Target::Protocol(Operation::Ready) => {
                self.check_ready()?;
                Ok(json_answer(&json!({"live": true, "ready": true})))
            }
            Target::Protocol(Operation::ModelReady { model, version }) => {
                let found = self.catalog.find(&model, version.as_deref())?;
                Ok(json_answer(&json!({"name": found.name(), "ready": true})))
            }
            Target::Protocol(Operation::ModelMetadata { model, version }) => {
                let found = self.catalog.find(&model, version.as_deref())?;
                let metadata = serde_json::to_value(found.metadata());
                metadata.map(|value| json_answer(&value)).map_err(|error| RequestError::Internal(error.to_string()))
            }
            Target::Node => Ok(json_answer(&self.node())),
            Target::Metrics => self.metrics_text(),
        }
    }

    /// Whether requests should come here.
    fn check_ready(&self) -> Result<(), RequestError> {
        if self.stop.is_cancelled() {
            Err(RequestError::Draining)
        } else if self.catalog.is_complete() {
            Ok(())
        } else {
            Err(RequestError::ModelNotReady)
        }
    }

    /// What this node is and has: the edge's probe reads it.
    fn node(&self) -> Value {
        let models = self.catalog.models();
        let describe = |model: &Model| {
            let device = model.device();
            json!({
                "name": model.name(),
                "version": model.version(),
                "digest": model.revision(),
                "ready": true,
                "device": { "requested": device.requested.as_str(), "actual": device.actual.as_str() },
                "queue_depth": model.queue_depth(),
            })
        };
        json!({
            "name": self.config.name(),
            "jurisdiction": self.config.jurisdiction(),
            "ready": self.check_ready().is_ok(),
            "draining": self.stop.is_cancelled(),
            "models": models.iter().map(describe).collect::<Value>(),
        })
    }

    fn metrics_text(&self) -> Answer {
        let ready = self.check_ready().is_ok();
        let text = self.metrics.text(&self.catalog.models(), ready, &self.listener.counts());
        text.map(|text| respond(OPEN_METRICS, text)).map_err(|error| RequestError::Internal(error.to_string()))
    }
}

fn target(path: &str) -> Option<Target> {
    match path {
        NODE_PATH => Some(Target::Node),
        "/metrics" => Some(Target::Metrics),
        _ => path::parse(path).map(Target::Protocol),
    }
}

impl Target {
    /// The word for the access log.
    fn name(&self) -> &'static str {
        match self {
            Target::Protocol(Operation::ServerMetadata) => "server-metadata",
            Target::Protocol(Operation::Live) => "live",
            Target::Protocol(Operation::Ready) => "ready",
            Target::Protocol(Operation::ModelMetadata { .. }) => "model-metadata",
            Target::Protocol(Operation::ModelReady { .. }) => "model-ready",
            Target::Protocol(Operation::Infer { .. }) => INFER,
            Target::Node => PROBE,
            Target::Metrics => "metrics",
        }
    }

    fn check_method(&self, method: &Method) -> Result<(), RequestError> {
        match (self, method) {
            (Target::Protocol(Operation::Infer { .. }), &Method::POST) => Ok(()),
            (Target::Protocol(Operation::Infer { .. }), _) => Err(RequestError::Method("POST")),
            (_, &Method::GET | &Method::HEAD) => Ok(()),
            _ => Err(RequestError::Method("GET, HEAD")),
        }
    }
}

fn server_metadata() -> Value {
    json!({
        "name": "forebay-region",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    })
}

fn refuse(error: &RequestError, exchange: &mut Exchange) -> Response<ResponseBody> {
    if let Some(text) = error.for_the_log() {
        tracing::error!(trace_id = exchange.trace_id.as_deref(), model = exchange.model.as_deref(), "{text}");
    }
    let problem = error.problem();
    let kind = problem.kind();
    exchange.answered(kind.status(), Some(kind.slug()));
    problem.into_response()
}

fn json_answer(value: &Value) -> Response<ResponseBody> {
    respond(JSON, value.to_string())
}

pub(crate) fn respond(content_type: &'static str, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::time::Duration;

    use forebay_http::collect_bounded;
    use http::StatusCode;

    use super::*;

    const CONFIG: &str = r#"
        name = "eu-west"
        jurisdiction = "eu"
        listen = "127.0.0.1:0"
        [runtime]
        library = "none.so"
        [[models]]
        path = "none"
    "#;

    /// A region that has loaded all of its models, of which there are none.
    async fn region() -> Region {
        let config = RegionConfig::parse("region.toml", CONFIG, Path::new("")).unwrap();
        let listener = forebay_http::Listener::bind(config.listen(), None, config.listener.clone()).await.unwrap();
        let region = Region {
            admission: Admission::new(config.buffered_bytes, config.body_bytes),
            config,
            keys: Arc::default(),
            catalog: Catalog::loading(),
            metrics: Arc::new(Metrics::new()),
            listener: listener.stats(),
            stop: CancellationToken::new(),
        };
        region.catalog.complete();
        region
    }

    async fn ask(region: &Region, method: &str, path: &str) -> (StatusCode, http::HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).body(RequestBody::empty()).unwrap();
        let peer = "127.0.0.1:1".parse().unwrap();
        let connection = Arc::new(ConnectionInfo { peer, local: None, tls: None });
        let (head, body) = region.handle(&connection, request).await.into_parts();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        let body = collect_bounded(body, 1 << 20, deadline).await.unwrap();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_is_told_in_words_and_in_status() {
        let region = region().await;
        let (status, headers, body) = ask(&region, "GET", "/v2/health/ready").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"live":true,"ready":true}"#));
        assert_eq!(headers.get("forebay-region").unwrap(), "eu-west");
        assert_eq!(ask(&region, "GET", "/v2/health/live").await.2, r#"{"live":true}"#);
        let health: Value = serde_json::from_str(&ask(&region, "GET", NODE_PATH).await.2).unwrap();
        assert_eq!(
            health,
            json!({"name": "eu-west", "jurisdiction": "eu", "ready": true, "draining": false, "models": []})
        );
    }

    #[tokio::test]
    async fn a_node_that_loads_is_alive_and_not_ready() {
        let region = Region { catalog: Catalog::loading(), ..region().await };
        assert_eq!(ask(&region, "GET", "/v2/health/live").await.0, StatusCode::OK);
        for (method, path) in
            [("GET", "/v2/health/ready"), ("GET", "/v2/models/m/ready"), ("POST", "/v2/models/m/infer")]
        {
            let (status, _, body) = ask(&region, method, path).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert!(body.contains("problems/model-not-ready"), "{body}");
        }
    }

    #[tokio::test]
    async fn a_node_that_stops_says_so() {
        let region = region().await;
        region.stop.cancel();
        let (status, _, body) = ask(&region, "GET", "/v2/health/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("problems/draining"), "{body}");
    }

    #[tokio::test]
    async fn refusals_are_problems_with_the_protocols_error_member() {
        let region = region().await;
        for (method, path, slug) in [
            ("GET", "/", "not-found"),
            ("GET", "/v2/", "not-found"),
            ("GET", "/v2/models/m", "model-not-found"),
            ("POST", "/v2/models/m/infer", "model-not-found"),
            ("GET", "/v2/models/m/infer", "method-not-allowed"),
            ("POST", "/v2", "method-not-allowed"),
        ] {
            let (_, headers, body) = ask(&region, method, path).await;
            assert_eq!(headers.get(CONTENT_TYPE).unwrap(), "application/problem+json");
            let document: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(document.get("type").unwrap(), &format!("https://forebay.dev/problems/{slug}"), "{path}");
            assert!(document.get("error").unwrap().is_string());
        }
        assert_eq!(ask(&region, "GET", "/v2/models/m/infer").await.1.get("allow").unwrap(), "POST");
    }

    #[tokio::test]
    async fn inferences_are_counted_and_other_requests_are_not() {
        let region = region().await;
        ask(&region, "GET", "/v2").await;
        ask(&region, "POST", "/v2/models/secret-name/infer").await;
        let (_, headers, body) = ask(&region, "GET", "/metrics").await;
        assert_eq!(headers.get(CONTENT_TYPE).unwrap(), OPEN_METRICS);
        let counted = r#"forebay_region_requests_total{model="unknown",outcome="model-not-found"} 1"#;
        assert!(body.contains(counted), "{body}");
        assert!(!body.contains("secret-name"));
    }
}
