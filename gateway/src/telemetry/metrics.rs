//! Counters and histograms, in the Prometheus text format. Labels come from closed sets or from the configuration.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use forebay_http::ListenerCounts;
use forebay_policy::{MemoStats, Phase};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::access_log::Line;
use super::timing::{Stage, StageClock};

mod memo;
mod plugins;

use memo::MemoMetrics;

pub(crate) use plugins::{PluginMetrics, Spent};

/// Seconds, from a cache hit to a slow generation.
const SECONDS: [f64; 14] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
    reason: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CacheLabels {
    result: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct IdentityLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PolicyLabels {
    plugin: String,
    reason: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RegionLabels {
    region: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RegionName {
    region: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ListenerLabels {
    event: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ShadowLabels {
    plugin: String,
    hook: &'static str,
    result: &'static str,
}

type Seconds = fn() -> Histogram;

/// The counters of one route.
pub(crate) struct RouteMetrics {
    seconds: Histogram,
    ok: Counter,
}

/// Everything this node counts.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, Seconds>,
    stages: [Histogram; Stage::COUNT],
    cache: Family<CacheLabels, Counter>,
    unidentified: Family<IdentityLabels, Counter>,
    policy_failures: Family<PolicyLabels, Counter>,
    pub(crate) plugins: PluginMetrics,
    shadow: Family<ShadowLabels, Counter>,
    region_requests: Family<RegionLabels, Counter>,
    region_seconds: Family<RegionName, Histogram, Seconds>,
    region_up: Family<RegionName, Gauge>,
    in_work: Gauge,
    open: Gauge,
    listener: Family<ListenerLabels, Gauge>,
    memo: MemoMetrics,
    sent_bytes: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds: Seconds = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("forebay"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            stages: std::array::from_fn(|_| seconds()),
            cache: Family::default(),
            unidentified: Family::default(),
            policy_failures: Family::default(),
            plugins: PluginMetrics::default(),
            shadow: Family::default(),
            region_requests: Family::default(),
            region_seconds: Family::new_with_constructor(seconds),
            region_up: Family::default(),
            in_work: Gauge::default(),
            open: Gauge::default(),
            listener: Family::default(),
            memo: MemoMetrics::default(),
            sent_bytes: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("requests", "Finished requests by route, status and problem type", self.requests.clone());
        r.register_with_unit("request", "Time from the head to the last byte", Unit::Seconds, self.seconds.clone());
        let stages: Family<StageLabels, Histogram, Seconds> = Family::new_with_constructor(|| Histogram::new(SECONDS));
        // Looked up once: every request observes most of them.
        self.stages = Stage::ALL.map(|stage| stages.get_or_create(&StageLabels { stage: stage.name() }).clone());
        r.register_with_unit("stage", "Time spent in each stage", Unit::Seconds, stages);
        r.register("cache", "Inferences by what the cache did", self.cache.clone());
        r.register("unidentified", "Requests without an identity, by what was wrong", self.unidentified.clone());
        r.register("policy_failures", "Hooks that failed, by plugin and reason", self.policy_failures.clone());
        self.plugins.register(r);
        r.register("policy_shadow", "Calls of candidates by how they compare", self.shadow.clone());
        r.register("region_requests", "Attempts at a region by outcome", self.region_requests.clone());
        r.register_with_unit("region_request", "Time of one attempt", Unit::Seconds, self.region_seconds.clone());
        r.register("region_up", "1 where a region may be chosen", self.region_up.clone());
        r.register("requests_in_work", "Requests between head and last byte", self.in_work.clone());
        r.register("connections", "Open client connections", self.open.clone());
        r.register("listener_events", "What happened to client connections since the start", self.listener.clone());
        self.memo.register(r);
        r.register_with_unit("sent", "Body bytes sent to clients", Unit::Bytes, self.sent_bytes.clone());
    }

    /// A request began.
    pub fn began(&self) {
        self.in_work.inc();
    }

    /// The counters that requests of one route touch, looked up once.
    pub(crate) fn route(&self, name: &str) -> RouteMetrics {
        let route = name.to_owned();
        let ok = RequestLabels { route: route.clone(), status: 200, reason: "none" };
        RouteMetrics {
            seconds: self.seconds.get_or_create(&RouteLabels { route }).clone(),
            ok: self.requests.get_or_create(&ok).clone(),
        }
    }

    /// A request ended; `route` is its route's name and counters, where it found one.
    pub(crate) fn finished(&self, route: Option<(&str, &RouteMetrics)>, line: &Line) {
        self.in_work.dec();
        self.sent_bytes.inc_by(line.bytes_out);
        match route {
            Some((_, counters)) if line.status == 200 && line.reason.is_none() => counters.ok.inc(),
            route => {
                let route = route.map_or("none", |(name, _)| name).to_owned();
                let reason = line.reason.unwrap_or("none");
                self.requests.get_or_create(&RequestLabels { route, status: line.status, reason }).inc()
            }
        };
        if let Some((_, counters)) = route {
            counters.seconds.observe(line.duration.as_secs_f64());
        }
    }

    /// The stages of a request.
    pub fn stages(&self, clock: &StageClock) {
        for (stage, spent) in clock.stages() {
            if let Some(histogram) = self.stages.get(stage as usize) {
                histogram.observe(spent.as_secs_f64());
            }
        }
    }

    /// What the cache did with an inference.
    pub fn cache(&self, result: &'static str) {
        self.cache.get_or_create(&CacheLabels { result }).inc();
    }

    /// What a plugin's verdict memo did so far.
    pub(crate) fn memo(&self, plugin: &str, stats: MemoStats) {
        self.memo.set(plugin, stats);
    }

    /// A request has no identity.
    pub(crate) fn unidentified(&self, reason: &'static str) {
        self.unidentified.get_or_create(&IdentityLabels { reason }).inc();
    }

    /// A hook failed.
    pub fn policy_failed(&self, plugin: &str, reason: &'static str) {
        self.policy_failures.get_or_create(&PolicyLabels { plugin: plugin.to_owned(), reason }).inc();
    }

    /// A candidate was compared with the active version, or was not.
    pub(crate) fn shadow(&self, plugin: &str, phase: Phase, result: &'static str) {
        let labels = ShadowLabels { plugin: plugin.to_owned(), hook: phase.hook(), result };
        self.shadow.get_or_create(&labels).inc();
    }

    /// One attempt at a region ended.
    pub fn region_attempt(&self, region: &str, outcome: &'static str, took: Duration) {
        self.region_requests.get_or_create(&RegionLabels { region: region.to_owned(), outcome }).inc();
        self.region_seconds.get_or_create(&RegionName { region: region.to_owned() }).observe(took.as_secs_f64());
    }

    /// Whether a region may be chosen.
    pub fn region_up(&self, region: &str, up: bool) {
        self.region_up.get_or_create(&RegionName { region: region.to_owned() }).set(i64::from(up));
    }

    /// The Prometheus text exposition, with what the front door counts.
    pub(crate) fn text(&self, listener: &ListenerCounts) -> String {
        self.open.set(i64::try_from(listener.open).unwrap_or(i64::MAX));
        for (event, count) in [
            ("accepted", listener.accepted),
            ("accept-error", listener.accept_errors),
            ("full", listener.full),
            ("handshake-failed", listener.handshakes_failed),
            ("handshake-timed-out", listener.handshakes_timed_out),
            ("idle-closed", listener.idle_closed),
            ("slow-headers", listener.slow_headers),
            ("write-stall", listener.write_stalls),
            ("cut-at-drain", listener.cut),
            ("request-refused", listener.requests_refused),
            ("handler-panic", listener.handler_panics),
        ] {
            let gauge = self.listener.get_or_create(&ListenerLabels { event });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
