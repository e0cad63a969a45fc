//! What the configuration file says: plain data, every key optional or defaulted, unknown keys refused.
//!
//! Nothing here is believed yet. `config::check` turns it into the types the program runs on. `gateway/example.toml`
//! shows every key with its default, and a test keeps the two in step.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

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
    /// Requests in work at once, over all routes.
    pub requests: usize,
    /// Bytes of request bodies held whole at once, over all requests.
    pub buffered_bytes: usize,
    /// The deadline of a request, where a route does not say otherwise.
    pub request_ms: u64,
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
            requests: 4_096,
            buffered_bytes: 512 * 1024 * 1024,
            request_ms: 30_000,
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

/// `[policy]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Calls of plugins at once, over all of them; bounded by `vm.max_map_count`.
    pub instances: u32,
    /// Requests inside functions at once, over all of them; at most 1,000.
    pub function_instances: u32,
    /// Tenants that the accounts of plugins tell apart in metrics; further ones are counted together.
    pub tenants: usize,
    /// Folder of what this node keeps about plugins: compiled artefacts, versions served, its key. Absent: nothing is kept.
    pub state_dir: Option<PathBuf>,
    /// Bytes of compiled plugins kept in `state_dir`; 0: none are.
    pub artefact_bytes: u64,
    /// PEM files of the Ed25519 keys that plugins must be signed with, by one of them. Empty: plugins need no signature.
    pub signers: Vec<PathBuf>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { instances: 1_000, function_instances: 256, tenants: 100, state_dir: None, artefact_bytes: 1024 * 1024 * 1024, signers: Vec::new() }
    }
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

/// `[tokens]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Revocations, one JSON object in each line; read again on reload.
    pub revocations_file: Option<PathBuf>,
    /// Revocations that may be told through the admin API, beside the file's.
    pub revocations: usize,
    /// Proofs (DPoP) remembered at once; each counts once while it could come again.
    pub proofs: usize,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { revocations_file: None, revocations: 10_000, proofs: 262_144 }
    }
}

/// `[[issuers]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Issuer {
    /// Exact value of a token's `iss`.
    pub issuer: String,
    /// Accepted values of `aud`; one must match.
    pub audiences: Vec<String>,
    /// Accepted signature algorithms: ES256, RS256, PS256, EdDSA.
    pub algorithms: Vec<String>,
    /// JWKS in a file; read again on reload.
    pub jwks_file: Option<PathBuf>,
    /// JWKS behind an HTTPS address; fetched at start, on a timer, and once when a token names an unknown key.
    pub jwks_url: Option<String>,
    /// PEM roots for `jwks_url`. Absent: the public web's.
    pub jwks_ca: Option<PathBuf>,
    /// Time between two fetches of `jwks_url`.
    pub jwks_refresh_ms: Option<u64>,
    /// How long keys from `jwks_url` are believed after the last fetch that succeeded.
    pub jwks_stale_ms: Option<u64>,
    /// Proofs of possession (DPoP).
    pub dpop: Dpop,
    /// How old a proof may be.
    pub dpop_window_s: Option<u64>,
    /// Whether a proof must hold a nonce of this node.
    pub dpop_nonce: bool,
    /// Clock difference forgiven in `exp` and `nbf`.
    pub leeway_s: Option<u64>,
    /// JSON pointer to the tenant's name in the claims.
    pub tenant_claim: Option<String>,
    /// Put before the tenant's name; keeps the tenants of several issuers apart.
    pub tenant_prefix: String,
}

/// Whether tokens may be bound to a key that each request proves (RFC 9449).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dpop {
    /// Bound tokens are refused.
    Off,
    /// Bound tokens need their proofs, others do not.
    #[default]
    Accepted,
    /// Every token must be bound.
    Required,
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

/// `[[plugins]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugin {
    /// Name that routes use.
    pub name: String,
    /// The component.
    pub component: PathBuf,
    /// SHA-256 that the component must have, in hexadecimal.
    pub sha256: Option<String>,
    /// Version that the component must be signed as. Absent: any that does not go back.
    pub version: Option<String>,
    /// Name that the component must be signed as. Absent: `name`.
    pub signed_name: Option<String>,
    /// Whether the version may be lower than one that was served before.
    pub allow_downgrade: bool,
    /// Interfaces it may import functions of.
    pub grants: Vec<String>,
    /// Names of the keys it may seal, open, sign and verify with.
    pub keys: Vec<String>,
    /// Counters and token buckets that it may have. Grant `counters`.
    pub counters: Option<usize>,
    /// Values that it may keep. Grant `key-value`.
    pub store_entries: Option<usize>,
    /// Bytes of keys and values that it may keep. Grant `key-value`.
    pub store_bytes: Option<usize>,
    /// Origins that it may send requests to: `https://host:port`, or `http://` on loopback. Grant `outbound`.
    pub origins: Vec<String>,
    /// Time that one of its requests may take.
    pub outbound_ms: Option<u64>,
    /// Bytes of an answer to one of its requests.
    pub outbound_bytes: Option<usize>,
    /// Requests of it under way at once.
    pub outbound_calls: Option<usize>,
    /// PEM roots for its `origins`. Absent: the public web's.
    pub outbound_ca: Option<PathBuf>,
    /// Models that it may ask. Grant `inference`.
    pub models: Vec<String>,
    /// Legal areas that it may ask models in, beside what the route allows. Empty: where the route's requests may go;
    /// on a route without inferences, where this node stands.
    pub jurisdictions: Vec<String>,
    /// Its own configuration, handed to `configure` as JSON.
    pub config: Option<toml::Table>,
    /// Computing time of one hook.
    pub deadline_ms: Option<u64>,
    /// Memory of one instance.
    pub memory_bytes: Option<usize>,
    /// Bytes of verdicts that are remembered, where it imports nothing but `http` and `identity`; 0: none are.
    pub memo_bytes: Option<usize>,
    /// Fresh instances that may wait for their call, for each hook; 0: each is made when it is needed.
    pub ready: Option<u32>,
    /// Calls of it at once; one more is refused. Absent: a quarter of `policy.instances`.
    pub instances: Option<u32>,
    /// Failures in a row after which it is not called for a while; 0: never.
    pub quarantine_after: Option<u32>,
    /// A candidate that runs beside it and decides nothing.
    pub shadow: Option<Shadow>,
}

/// `shadow` of a plugin
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shadow {
    /// The candidate's component.
    pub component: PathBuf,
    /// As the plugin's.
    pub sha256: Option<String>,
    /// As the plugin's.
    pub version: Option<String>,
    /// Its own configuration. Absent: the plugin's.
    pub config: Option<toml::Table>,
    /// How many of a hundred calls are compared.
    pub percent: Option<u8>,
}

/// `[[functions]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Function {
    /// Name that routes use.
    pub name: String,
    /// The component, for `wasi:http` 0.2 or 0.3.
    pub component: PathBuf,
    /// What of the world it may import functions of: wasi-http, clocks, random, stdio.
    pub grants: Vec<String>,
    /// Origins that it may send requests to: `https://host:port`, or `http://` on loopback. Grant `wasi-http`.
    pub origins: Vec<String>,
    /// Its environment variables.
    pub env: BTreeMap<String, String>,
    /// Computing time for one request, its streams included.
    pub deadline_ms: Option<u64>,
    /// Time that an instance may live, to the last byte of its answer and the work after it.
    pub lifetime_ms: Option<u64>,
    /// Memory of one instance.
    pub memory_bytes: Option<usize>,
    /// Requests inside it at once; one more is refused. Absent: a quarter of `policy.function_instances`.
    pub instances: Option<u32>,
    /// Bytes of each body that enters or leaves it.
    pub body_bytes: Option<usize>,
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
    /// Answer cache; absent: nothing is stored.
    pub cache: Option<RouteCache>,
    /// Deadline of a request.
    pub request_ms: Option<u64>,
    /// Bytes of a request body.
    pub body_bytes: Option<usize>,
    /// Response headers added to every answer.
    pub response_headers: BTreeMap<String, String>,
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
