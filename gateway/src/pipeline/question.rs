//! What a caller may ask beside an inference: what a model is, whether it and this node are ready.

use bytes::Bytes;
use forebay_http::ResponseBody;
use forebay_oip::path::Operation;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::Work;
use crate::config::InferenceTarget;
use crate::dialect::{Ask, ModelName};
use crate::error::Refusal;
use crate::exchange::Exchange;
use crate::telemetry::timing::Stage;

/// Answers a question.
pub(super) async fn answer(
    work: &Work<'_>,
    exchange: &mut Exchange,
    target: &InferenceTarget,
    ask: &Ask,
) -> Result<Response<ResponseBody>, Refusal> {
    let (status, body) = match ask {
        Ask::Live => (StatusCode::OK, json!({ "live": true }).to_string().into()),
        Ask::Ready => ready(work, target),
        Ask::ServerMetadata => (StatusCode::OK, server_metadata()),
        Ask::ModelMetadata(name) => {
            of_model(work, exchange, target, name, |model, version| Operation::ModelMetadata { model, version }).await?
        }
        Ask::ModelReady(name) => {
            of_model(work, exchange, target, name, |model, version| Operation::ModelReady { model, version }).await?
        }
        Ask::Infer(_) => return Err(Refusal::method_not_allowed("POST")),
    };
    exchange.enter(Stage::PolicyResponse);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    work.route.chain.on_response(status, &mut headers, None, &work.context).await?;
    work.reply(status, headers, body).await
}

/// A region's word on a model.
async fn of_model(
    work: &Work<'_>,
    exchange: &mut Exchange,
    target: &InferenceTarget,
    name: &ModelName,
    operation: impl FnOnce(String, Option<String>) -> Operation,
) -> Result<(StatusCode, Bytes), Refusal> {
    exchange.model(&name.model);
    exchange.enter(Stage::Forward);
    let call = work.call(exchange, target, name);
    let body = work.edge.regions.ask(&call, operation, &mut exchange.trail).await?;
    Ok((StatusCode::OK, body))
}

/// Ready: some region that this route allows may be chosen.
fn ready(work: &Work<'_>, target: &InferenceTarget) -> (StatusCode, Bytes) {
    let ready = work.edge.regions.any_up(target);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, json!({ "ready": ready, "live": true }).to_string().into())
}

fn server_metadata() -> Bytes {
    let version = env!("CARGO_PKG_VERSION");
    json!({ "name": "forebay", "version": version, "extensions": ["binary_tensor_data"] }).to_string().into()
}
