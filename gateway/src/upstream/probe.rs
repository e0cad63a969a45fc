//! Active health: each region is asked what it is and what it has, on a timer.
//!
//! The answer of `GET /forebay/v1/node` must agree with the configuration: a node that says another jurisdiction is
//! not used, whatever its address promises.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use serde::Deserialize;

use super::region::{ModelVersion, Models, Region};
use crate::telemetry::metrics::Metrics;

/// Longest answer to a probe.
const NODE_MAX_BYTES: usize = 1024 * 1024;

#[derive(Deserialize)]
struct Node {
    name: String,
    jurisdiction: String,
    ready: bool,
    draining: bool,
    models: Vec<NodeModel>,
}

#[derive(Deserialize)]
struct NodeModel {
    name: String,
    ready: bool,
    #[serde(flatten)]
    version: ModelVersion,
}

/// Probes `region` for ever; ends only when dropped.
pub(crate) async fn keep_probing(region: Arc<Region>, metrics: Arc<Metrics>, interval: Duration, timeout: Duration) {
    loop {
        once(&region, &metrics, timeout).await;
        tokio::time::sleep(interval).await;
    }
}

/// Probes `region` once.
pub(crate) async fn once(region: &Region, metrics: &Metrics, timeout: Duration) {
    let started = Instant::now();
    let was_up = region.is_up(started);
    match ask(region, timeout).await {
        Ok(node) => judge(region, node),
        Err(why) => region.probe_failed(why),
    }
    let is_up = region.is_up(Instant::now());
    metrics.region_up(region.name(), is_up);
    if was_up != is_up {
        tracing::info!(region = region.name(), up = is_up, "region changed");
    }
}

async fn ask(region: &Region, timeout: Duration) -> Result<Node, String> {
    let url = region.config.url.join("forebay/v1/node").map_err(|error| error.to_string())?;
    let request = Request::builder()
        .method(Method::GET)
        .uri(url.as_str())
        .body(Bytes::new())
        .map_err(|error| error.to_string())?;
    let (head, body) =
        region.client.fetch(request, NODE_MAX_BYTES, timeout).await.map_err(|error| error.to_string())?;
    if !head.status.is_success() {
        return Err(format!("probe answered {}", head.status));
    }
    serde_json::from_slice(&body).map_err(|error| format!("probe answer cannot be read: {error}"))
}

fn judge(region: &Region, node: Node) {
    if node.jurisdiction != region.config.jurisdiction {
        let why = format!(
            "node `{}` says it stands in `{}`, the configuration says `{}`: not used",
            node.name, node.jurisdiction, region.config.jurisdiction
        );
        tracing::error!(region = region.name(), "{why}");
        return region.probe_not_ready(why);
    }
    if node.draining {
        return region.probe_not_ready("draining".into());
    }
    if !node.ready {
        return region.probe_not_ready("loading its models".into());
    }
    let mut models = Models::new();
    for model in node.models.into_iter().filter(|model| model.ready) {
        models.entry(model.name).or_default().push(model.version);
    }
    region.probe_ready(models);
}
