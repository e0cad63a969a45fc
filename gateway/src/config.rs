//! The configuration: read in one place, checked into types that the rest of the program can believe.
//!
//! `file` is what the text says, `check` is the only way from there to [`Config`]. A `Config` holds no dangling name,
//! no zero limit and no unreadable combination; every mistake of a file is reported at once with its key path.
//!
//! Reload: everything may change on SIGHUP except addresses, the listener's limits, `cache.memory_bytes`,
//! `limits.requests`, `limits.buffered_bytes`, `tokens.revocations`, `tokens.proofs`, `tokens.proofs_per_subject`, the `policy` section but for its
//! signers, and `telemetry`, which are read at start only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_config::Mistakes;
use http::{HeaderMap, Method};
use url::Url;

mod check;
pub mod file;
mod identity;
mod policy;

pub use file::{Dpop as DpopMode, LogFormat, ServerTiming};
pub use identity::{Issuer, JwksSource, Proofs, Tokens};
pub use policy::{Function, Journal, Outbound, Plugin, PolicyState, Quota, Shadow, Trust};

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) pop: Pop,
    pub(crate) listen: Listen,
    pub(crate) admin: SocketAddr,
    pub(crate) limits: Limits,
    pub(crate) cache_memory_bytes: u64,
    pub(crate) telemetry: Telemetry,
    pub(crate) policy_instances: u32,
    pub(crate) function_instances: u32,
    pub(crate) policy_tenants: usize,
    pub(crate) policy_state: Option<PolicyState>,
    pub(crate) signers: Vec<PathBuf>,
    pub(crate) balance: Balance,
    pub(crate) tokens: Tokens,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) keys: BTreeMap<String, PathBuf>,
    pub(crate) plugins: Vec<Plugin>,
    pub(crate) functions: Vec<Function>,
    pub(crate) regions: Vec<Region>,
    pub(crate) routes: Vec<Route>,
}

impl Config {
    /// Reads and checks the file at `path`; relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// Every mistake in the file, each with its key path and line.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let loaded = forebay_config::load::<file::File>(path)?;
        check::check(loaded, path.parent().unwrap_or(Path::new(".")))
    }

    /// Checks the text of a file as if it stood in `folder` under the name `name`.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Self, Mistakes> {
        check::check(forebay_config::parse::<file::File>(name, text)?, folder)
    }

    /// The routes' names, in file order.
    pub fn route_names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.name.as_str())
    }

    /// How logs shall look.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Master keys: name and file.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.keys.iter().map(|(name, file)| (name.as_str(), file.as_path()))
    }

    /// Address of the admin API.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }
}

/// Where this node stands.
#[derive(Debug, Clone)]
pub struct Pop {
    pub(crate) name: String,
    pub(crate) jurisdiction: Option<String>,
}

/// The TLS front door.
#[derive(Debug, Clone)]
pub struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: Certificate,
    /// How clients show certificates; none: they are not asked.
    pub(crate) clients: Option<Clients>,
    /// Normalised authorities by which clients know this node.
    pub(crate) origins: Vec<String>,
}

/// How clients show certificates.
#[derive(Debug, Clone)]
pub struct Clients {
    /// PEM roots.
    pub(crate) ca: PathBuf,
    /// Nobody is let in without one.
    pub(crate) required: bool,
}

/// Where the front door's certificate comes from.
#[derive(Debug, Clone)]
pub enum Certificate {
    /// Files that an operator provides.
    Files {
        /// PEM chain.
        certificate: PathBuf,
        /// PEM key.
        key: PathBuf,
    },
    /// A development CA in this folder, made on first run.
    Development(PathBuf),
}

/// Bounds on what clients may ask.
#[derive(Debug, Clone)]
pub struct Limits {
    pub(crate) listener: forebay_http::Limits,
    pub(crate) answer_bytes: usize,
    pub(crate) websocket_message_bytes: usize,
    /// How long any answer may go on.
    pub(crate) stream: Duration,
    pub(crate) requests: usize,
    pub(crate) buffered_bytes: usize,
}

/// Logs.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// How lines look.
    pub format: LogFormat,
    /// `tracing` filter.
    pub filter: String,
}

/// How regions are watched and chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    pub(crate) probe_interval: Duration,
    pub(crate) probe_timeout: Duration,
    pub(crate) eject_after: u32,
    pub(crate) eject: Duration,
    pub(crate) eject_max: Duration,
    pub(crate) connect: Duration,
    pub(crate) attempt: Duration,
    pub(crate) retry_percent: u32,
    pub(crate) retry_burst: u32,
    pub(crate) latency_decay: Duration,
}

/// A regional node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub(crate) name: String,
    pub(crate) url: Url,
    pub(crate) jurisdiction: String,
    pub(crate) penalty: Duration,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// What is served, and how.
#[derive(Debug, Clone)]
pub struct Route {
    pub(crate) name: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) path: String,
    pub(crate) methods: Vec<Method>,
    pub(crate) policies: Vec<String>,
    /// Anybody may use it: no plugin needs to guard it.
    pub(crate) public: bool,
    pub(crate) target: Target,
    /// Names of functions in front of the target.
    pub(crate) middleware: Vec<String>,
    pub(crate) request: Duration,
    pub(crate) body_bytes: usize,
    pub(crate) response_headers: HeaderMap,
    pub(crate) server_timing: ServerTiming,
}

/// Where a route's requests go.
#[derive(Debug, Clone)]
pub enum Target {
    /// Inferences, decoded by a dialect and answered by a region.
    Inference(InferenceTarget),
    /// Anything else, passed to one HTTP origin.
    Origin(OriginTarget),
    /// Anything else, answered by a function.
    Function(FunctionTarget),
}

/// Which models and regions a route may use.
#[derive(Debug, Clone, Default)]
pub struct InferenceTarget {
    pub(crate) models: Vec<String>,
    pub(crate) regions: Vec<String>,
    pub(crate) jurisdictions: Vec<String>,
    pub(crate) cache: Option<CacheRule>,
}

/// A proxied origin.
#[derive(Debug, Clone)]
pub struct OriginTarget {
    pub(crate) url: Url,
    pub(crate) forward_authorization: bool,
    /// Requests may become WebSockets.
    pub(crate) websocket: bool,
}

/// A function in an origin's place.
#[derive(Debug, Clone)]
pub struct FunctionTarget {
    pub(crate) name: String,
    pub(crate) forward_authorization: bool,
    /// It, or middleware in front of it, may ask others, of which nobody knows where they are.
    pub(crate) reaches_out: bool,
}

/// What a route stores.
#[derive(Debug, Clone, Copy)]
pub struct CacheRule {
    pub(crate) ttl: Duration,
    pub(crate) scope: Scope,
}

/// Who may be given a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The tenant whose request made it.
    Tenant,
    /// Everybody who may use the route.
    Public,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::Config;

    const EXAMPLE: &str = include_str!("../example.toml");

    #[test]
    fn the_example_has_no_mistakes() {
        Config::parse("example.toml", EXAMPLE, Path::new("/etc/forebay"))
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    }

    #[test]
    fn a_proxy_route_takes_ten_lines() {
        let text = r#"
            listen = { address = "127.0.0.1:0", development_ca = "." }
            [[routes]]
            name = "all"
            path = "/"
            dialect = "http"
            origin = "http://127.0.0.1:8080"
            access = "public"
        "#;
        let config = Config::parse("ten.toml", text, Path::new("/tmp")).unwrap();
        assert_eq!(config.route_names().collect::<Vec<_>>(), ["all"]);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = r#"
            [admin]
            address = "0.0.0.0:9901"
            [limits]
            requests = 0
            bodybytes = 1
            [[regions]]
            name = "eu"
            url = "http://example.com"
            [[routes]]
            name = "infer"
            path = "v2/"
            dialect = "oip"
            regions = ["ue"]
            policies = ["acess"]
        "#;
        let told = Config::parse("bad.toml", text, Path::new("/tmp")).unwrap_err().to_string();
        for expected in ["limits.bodybytes", "body_bytes"] {
            assert!(told.contains(expected), "{expected} not in:\n{told}");
        }
    }

    #[test]
    fn mistakes_of_meaning_are_told_at_once() {
        let text = r#"
            [admin]
            address = "0.0.0.0:9901"
            [limits]
            requests = 0
            body_bytes = 2000
            buffered_bytes = 1000
            [[issuers]]
            issuer = "me"
            algorithms = ["HS256"]
            [[regions]]
            name = "eu-west"
            url = "http://example.com"
            [[routes]]
            name = "infer"
            path = "v2/"
            dialect = "oip"
            regions = ["eu-wst"]
            policies = ["acess"]
            websocket = true
            [[routes]]
            name = "open"
            path = "/"
            dialect = "http"
        "#;
        let told = Config::parse("bad.toml", text, Path::new("/tmp")).unwrap_err().to_string();
        for expected in [
            "listen",
            "admin.address",
            "limits.requests",
            "limits.body_bytes",
            "issuers[0].audiences",
            "issuers[0].algorithms[0]",
            "HS256",
            "regions[0].jurisdiction",
            "regions[0].url",
            "routes[0].path",
            "routes[0].regions[0]",
            "did you mean `eu-west`?",
            "routes[0].policies[0]",
            "routes[0].websocket",
            "routes[1]",
            "access = \"public\"",
            "routes[1].origin",
        ] {
            assert!(told.contains(expected), "{expected} not in:\n{told}");
        }
    }
}
