//! What the configuration file says: plain data, every key optional or defaulted, unknown keys refused.
//!
//! Nothing here is believed yet. `config::check` turns it into the types the program runs on. `gateway/example.toml`
//! shows every key with its default, and a test keeps the two in step.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

mod identity;
mod policy;

pub use identity::{Dpop, Issuer, Tokens};
pub use policy::{Function, Plugin, Policy, Shadow};

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Where this node stands.
    pub pop: Pop,
    /// The TLS front door.
    pub listen: Listen,
    /// The operators' door.
    pub admin: Admin,
    /// Bounds on what clients may ask of this node.
    pub limits: Limits,
    /// The answer cache.
    pub cache: Cache,
    /// Logs.
    pub telemetry: Telemetry,
    /// What all plugins share.
    pub policy: Policy,
    /// How the regions are watched and chosen.
    pub balance: Balance,
    /// What the tokens of all issuers share.
    pub tokens: Tokens,
    /// Who may sign tokens.
    pub issuers: Vec<Issuer>,
    /// Master keys for sealing, by name.
    pub keys: Vec<Key>,
    /// Policy components.
    pub plugins: Vec<Plugin>,
    /// Components for `wasi:http`: functions and middleware.
    pub functions: Vec<Function>,
    /// The regional nodes.
    pub regions: Vec<Region>,
    /// What is served, and how.
    pub routes: Vec<Route>,
}

/// `[pop]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pop {
    /// Name of this point of presence, for logs, `Via` and `Cache-Status`.
    pub name: String,
    /// Legal area this node stands in, such as `eu`. Empty: none claimed.
    pub jurisdiction: String,
}

impl Default for Pop {
    fn default() -> Self {
        Self { name: "forebay".into(), jurisdiction: String::new() }
    }
}

/// `[listen]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Address of the TLS listener.
    pub address: SocketAddr,
    /// PEM certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM private key.
    pub key: Option<PathBuf>,
    /// Folder of a development CA, made on first run. Only for loopback names; excludes `certificate` and `key`.
    pub development_ca: Option<PathBuf>,
    /// PEM roots that client certificates must chain to.
    pub client_ca: Option<PathBuf>,
    /// Whether clients are asked for certificates.
    pub client_certificates: ClientCertificates,
    /// What clients call this node, for proofs (DPoP): `https://host:port`. Empty: whatever their requests call it.
    pub origins: Vec<String>,
}

/// Whether clients are asked for certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They are not.
    #[default]
    Off,
    /// They are, and may have none.
    Optional,
    /// Nobody is let in without one.
    Required,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([0, 0, 0, 0], 8443)),
            certificate: None,
            key: None,
            development_ca: None,
            client_ca: None,
            client_certificates: ClientCertificates::Off,
            origins: Vec::new(),
        }
    }
}

/// `[admin]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address of the admin API; loopback only.
    pub address: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9901)) }
    }
}

/// `[limits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open client connections.
    pub connections: usize,
    /// Time to finish a TLS handshake.
    pub handshake_ms: u64,
    /// Time to send a whole request head.
    pub header_read_ms: u64,
    /// Time a connection may stand idle.
    pub idle_ms: u64,
    /// Header fields in one request.
    pub headers: usize,
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Streams at once in one HTTP/2 connection.
    pub http2_streams: u32,
    /// Bytes of a request body, where a route does not say otherwise.
    pub body_bytes: usize,
    /// Bytes of an answer that a stage must hold whole.
    pub answer_bytes: usize,
    /// Bytes of one message of a WebSocket whose messages policies look at.
    pub websocket_message_bytes: usize,
    /// Requests in work at once, over all routes.
    pub requests: usize,
    /// Bytes of bodies held whole at once, over all requests, and of answers that policies must see whole.
    pub buffered_bytes: usize,
    /// The deadline of a request, where a route does not say otherwise.
    pub request_ms: u64,
    /// How long an answer may go on: a stream, a WebSocket.
    pub stream_ms: u64,
    /// Time that requests in work get at shutdown.
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake_ms: 10_000,
            header_read_ms: 10_000,
            idle_ms: 60_000,
            headers: 100,
            header_bytes: 32 * 1024,
            http2_streams: 128,
            body_bytes: 8 * 1024 * 1024,
            answer_bytes: 32 * 1024 * 1024,
            websocket_message_bytes: 1024 * 1024,
            requests: 4_096,
            buffered_bytes: 512 * 1024 * 1024,
            request_ms: 30_000,
            stream_ms: 24 * 3_600_000,
            drain_ms: 20_000,
        }
    }
}

/// `[cache]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Bytes of answers held in memory, keys and bookkeeping included.
    pub memory_bytes: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { memory_bytes: 256 * 1024 * 1024 }
    }
}

/// `[telemetry]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// How log lines look.
    pub format: LogFormat,
    /// A `tracing` filter, such as `info` or `forebay=debug,info`.
    pub filter: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For a person at a terminal.
    Pretty,
}

/// `[balance]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Balance {
    /// Time between two probes of a region.
    pub probe_interval_ms: u64,
    /// Time a probe may take.
    pub probe_timeout_ms: u64,
    /// Failures in a row, of probes or requests, after which a region is ejected.
    pub eject_after: u32,
    /// First ejection; each further one doubles, up to `eject_max_ms`.
    pub eject_ms: u64,
    /// Longest ejection.
    pub eject_max_ms: u64,
    /// Time to open a connection to a region.
    pub connect_ms: u64,
    /// Time that one region gets where another could be asked.
    pub attempt_ms: u64,
    /// Retries allowed for every hundred requests, beside the burst.
    pub retry_percent: u32,
    /// Retries that may be spent at once.
    pub retry_burst: u32,
    /// Time after which a measured time of a region counts for 1/e of what it did.
    pub latency_decay_ms: u64,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            probe_interval_ms: 1_000,
            probe_timeout_ms: 1_000,
            eject_after: 3,
            eject_ms: 1_000,
            eject_max_ms: 30_000,
            connect_ms: 1_000,
            attempt_ms: 10_000,
            retry_percent: 20,
            retry_burst: 256,
            latency_decay_ms: 10_000,
        }
    }
}

/// `[[keys]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Key {
    /// Name that plugins and regions use.
    pub name: String,
    /// File with 32 random bytes as base64url or hex text.
    pub file: PathBuf,
}

/// `[[regions]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Region {
    /// Name that routes use.
    pub name: String,
    /// Base address: `https://host:port`, or `http://` on loopback.
    pub url: String,
    /// Legal area the node stands in. The node must say the same of itself.
    pub jurisdiction: String,
    /// Added to its measured time when regions are compared: cost, or distance that a probe does not show.
    pub penalty_ms: u64,
    /// PEM roots that its certificate must chain to. Absent: the public web's.
    pub ca: Option<PathBuf>,
    /// PEM certificate with which this node shows itself.
    pub certificate: Option<PathBuf>,
    /// PEM key of `certificate`.
    pub key: Option<PathBuf>,
}

/// `[[routes]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Name for logs, metrics and plugins.
    pub name: String,
    /// Host names; empty: any.
    pub hosts: Vec<String>,
    /// Path prefix, ending in `/`, or one exact path. The longest match wins.
    pub path: String,
    /// Methods; empty: any.
    pub methods: Vec<String>,
    /// `oip` or `http`.
    pub dialect: Option<String>,
    /// Must say `public` where no plugin looks at requests (`on-request`).
    pub access: Option<String>,
    /// Plugins, in the order they run.
    pub policies: Vec<String>,
    /// Models that may be asked; empty: any. Dialect `oip` only.
    pub models: Vec<String>,
    /// Regions that may answer; empty: any. Dialect `oip` only.
    pub regions: Vec<String>,
    /// Legal areas that a request may be answered in; empty: any. Dialect `oip` only.
    pub jurisdictions: Vec<String>,
    /// Where requests go. Dialect `http` only.
    pub origin: Option<String>,
    /// The function that answers instead of an origin. Dialect `http` only.
    pub function: Option<String>,
    /// Functions in front of origin or function, from the client's side on. Dialect `http` only.
    pub middleware: Vec<String>,
    /// Whether the caller's `Authorization` goes to the origin. Dialect `http` only.
    pub forward_authorization: bool,
    /// Whether requests may become WebSockets. Dialect `http` with an `origin` only.
    pub websocket: bool,
    /// Answer cache; absent: nothing is stored.
    pub cache: Option<RouteCache>,
    /// Deadline of a request.
    pub request_ms: Option<u64>,
    /// Bytes of a request body.
    pub body_bytes: Option<usize>,
    /// Response headers added to every answer.
    pub response_headers: BTreeMap<String, String>,
    /// How much `Server-Timing` tells.
    pub server_timing: ServerTiming,
}

/// `server_timing` of a route
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerTiming {
    /// Nothing of how long decisions took, in whole milliseconds.
    #[default]
    Coarse,
    /// Every stage, to the microsecond.
    Full,
}

/// `cache` of a route
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteCache {
    /// How long an answer stays fresh.
    pub ttl_s: Option<u64>,
    /// `tenant` (default) or `public`.
    pub scope: Option<String>,
}
