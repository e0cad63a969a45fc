//! What the node counts, as OpenMetrics text. Label values come from closed sets: loaded models, devices, problem types.

use std::fmt;

use forebay_http::ListenerCounts;
use forebay_inference::{Model, Timing};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Media type of the text.
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Stands for a model that the node does not have: callers' words are not label values.
const NO_MODEL: &str = "unknown";

/// Bounds of the histograms, in seconds: from 0.1 ms to a minute.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

type Histograms = Family<ModelLabel, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    model: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeviceLabels {
    model: String,
    requested: &'static str,
    actual: &'static str,
}

/// The node's counters. Counting never waits for a reader.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    queue_depth: Family<ModelLabel, Gauge>,
    queue_seconds: Histograms,
    run_seconds: Histograms,
    device: Family<DeviceLabels, Gauge>,
    connections: Gauge,
    ready: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let histograms = || Histograms::new_with_constructor(|| Histogram::new(SECONDS));
        let mut metrics = Metrics {
            registry: Registry::with_prefix("forebay_region"),
            requests: Family::default(),
            queue_depth: Family::default(),
            queue_seconds: histograms(),
            run_seconds: histograms(),
            device: Family::default(),
            connections: Gauge::default(),
            ready: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Inferences, by model and how they ended", metrics.requests.clone());
        registry.register("queue_depth", "Inferences that wait for a session", metrics.queue_depth.clone());
        registry.register("queue_seconds", "Time spent waiting for a session", metrics.queue_seconds.clone());
        registry.register("run_seconds", "Time spent in the model's graph", metrics.run_seconds.clone());
        registry.register("model_device", "1 for the device a model was to get and got", metrics.device.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register("ready", "1 while all models are loaded and the node takes requests", metrics.ready.clone());
        metrics
    }

    /// An inference ended; `model` is one that the node has.
    pub(crate) fn finished(&self, model: Option<&str>, outcome: &'static str) {
        let model = model.unwrap_or(NO_MODEL).to_owned();
        self.requests.get_or_create(&RequestLabels { model, outcome }).inc();
    }

    /// A model answered.
    pub(crate) fn ran(&self, model: &str, timing: &Timing) {
        let label = ModelLabel { model: model.to_owned() };
        self.queue_seconds.get_or_create(&label).observe(timing.queue.as_secs_f64());
        self.run_seconds.get_or_create(&label).observe(timing.run.as_secs_f64());
    }

    /// A model was loaded.
    pub(crate) fn loaded(&self, model: &Model) {
        let device = model.device();
        let (requested, actual) = (device.requested.as_str(), device.actual.as_str());
        let labels = DeviceLabels { model: model.name().to_owned(), requested, actual };
        self.device.get_or_create(&labels).set(1);
    }

    /// All metrics, with the state of things read now.
    pub(crate) fn text(&self, models: &[Model], ready: bool, listener: &ListenerCounts) -> Result<String, fmt::Error> {
        for model in models {
            let depth = i64::try_from(model.queue_depth()).unwrap_or(i64::MAX);
            self.queue_depth.get_or_create(&ModelLabel { model: model.name().to_owned() }).set(depth);
        }
        self.ready.set(i64::from(ready));
        self.connections.set(i64::try_from(listener.open).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_counted_can_be_read() {
        let metrics = Metrics::new();
        metrics.finished(Some("m"), "ok");
        metrics.finished(None, "model-not-found");
        let (queue, run) = (Duration::from_millis(1), Duration::from_millis(3));
        metrics.ran("m", &Timing { queue, prepare: Duration::ZERO, run, finish: Duration::ZERO });
        let text = metrics.text(&[], true, &ListenerCounts::default()).unwrap();
        for line in [
            r#"forebay_region_requests_total{model="m",outcome="ok"} 1"#,
            r#"forebay_region_requests_total{model="unknown",outcome="model-not-found"} 1"#,
            r#"forebay_region_run_seconds_count{model="m"} 1"#,
            "forebay_region_ready 1",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }
}
