//! What the tests share: an engine, and requests, responses and identities that are values.

use std::any::Any;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use forebay_policy::{
    Absence, CallLimits, Capability, Context, Engine, EngineLimits, Field, IdentityView, Message, Plugin, PluginSpec,
    RequestView, ResponseView, SealFailure, Services,
};
use serde_json::Value;

pub(crate) static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(&EngineLimits::default()).expect("an engine"));

/// Limits that a busy machine does not reach.
pub(crate) fn limits(memo_bytes: usize) -> CallLimits {
    let deadline = Duration::from_secs(5);
    CallLimits { deadline, instances: Some(64), quarantine_after: 0, memo_bytes, ..CallLimits::default() }
}

/// A built component.
pub(crate) fn spec(name: &str, config: &str, limits: CallLimits) -> PluginSpec {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/assets/plugins");
    let path = folder.join(format!("{name}.wasm"));
    let wasm =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask assets`", path.display()));
    let grants = BTreeSet::from(Capability::ALL);
    let services = Services::default();
    PluginSpec { name: name.to_owned(), wasm, config: config.to_owned(), grants, limits, services }
}

/// The same, loaded.
pub(crate) fn load(name: &str, config: &str, limits: CallLimits) -> Plugin {
    ENGINE.load(spec(name, config, limits)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
    pub(crate) route: String,
    pub(crate) model: Option<String>,
    pub(crate) peer: [u8; 4],
    pub(crate) trace_id: String,
}

impl Request {
    pub(crate) fn to(path: &str, headers: &[(&str, &str)]) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            host: "a".to_owned(),
            query: None,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
            route: "r".to_owned(),
            model: None,
            peer: [192, 0, 2, 1],
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        }
    }
}

impl RequestView for Request {
    fn method(&self) -> &str {
        &self.method
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn host(&self) -> &str {
        &self.host
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.headers.get(name).map(|value| Cow::Borrowed(value.as_slice()))
    }
    fn route(&self) -> &str {
        &self.route
    }
    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }
    fn dialect(&self) -> &str {
        "http"
    }
    fn header_names(&self) -> Vec<String> {
        self.headers.keys().cloned().collect()
    }
    fn peer(&self) -> IpAddr {
        self.peer.into()
    }
    fn protocol(&self) -> &str {
        "HTTP/2.0"
    }
    fn trace_id(&self) -> &str {
        &self.trace_id
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
}

impl ResponseView for Response {
    fn status(&self) -> u16 {
        self.status
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.headers.get(name).map(|value| Cow::Borrowed(value.as_slice()))
    }
    fn header_names(&self) -> Vec<String> {
        self.headers.keys().cloned().collect()
    }
}

/// Claims, or why there are none. The tenant is the claim `tenant`.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    text: Result<String, Absence>,
    value: Value,
}

impl Identity {
    pub(crate) fn with(claims: Value) -> Self {
        Self { text: Ok(claims.to_string()), value: claims }
    }

    pub(crate) fn absent(absence: Absence) -> Self {
        Self { text: Err(absence), value: Value::Null }
    }
}

impl IdentityView for Identity {
    fn claims(&self) -> Result<&str, Absence> {
        self.text.as_deref().map_err(|absence| *absence)
    }
    fn claim(&self, pointer: &str) -> Option<Cow<'_, str>> {
        self.value.pointer(pointer).map(|claim| Cow::Owned(claim.to_string()))
    }
    fn tenant(&self) -> Option<&str> {
        self.value.get("tenant").and_then(Value::as_str)
    }
}

pub(crate) fn context(request: Request, identity: Identity) -> Context {
    let deadline = Instant::now() + Duration::from_secs(600);
    Context { request: Arc::new(request), identity: Arc::new(identity), deadline, notes: Arc::default() }
}

/// A message that a pure plugin can do nothing with.
pub(crate) struct Nothing;

impl Message for Nothing {
    fn model(&self) -> Option<&str> {
        None
    }
    fn has(&self, _: &Field) -> bool {
        false
    }
    fn seal(&mut self, _: &Field, _: &str) -> Result<(), SealFailure> {
        Err(SealFailure::Unsupported)
    }
    fn open(&mut self, _: &Field, _: &str) -> Result<(), SealFailure> {
        Err(SealFailure::Unsupported)
    }
    fn expect_sealed(&mut self, _: &str, _: &str) -> Result<(), SealFailure> {
        Err(SealFailure::Unsupported)
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
