//! What the tests share: one engine, the built components, and plain implementations of what a plugin asks.

use std::any::Any;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use forebay_policy::{
    Absence, CallLimits, Capability, Context, Engine, EngineLimits, Failure, Field, HeadEdits, IdentityView, Message,
    Outcome, Plugin, PluginSpec, RequestView, ResponseView, SealFailure, Services,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The pool of the shared engine.
const INSTANCES: u32 = 64;

pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    Engine::new(&EngineLimits { instances: INSTANCES, ..EngineLimits::default() }).expect("an engine")
});

/// The bytes of a built component.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/assets/plugins");
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask assets`", path.display()))
}

/// A plugin with every grant and the default limits, but for those by which tests that share it would meet.
pub(crate) fn spec(name: &str, config: &str) -> PluginSpec {
    PluginSpec {
        name: name.to_owned(),
        wasm: component(name),
        config: config.to_owned(),
        grants: BTreeSet::from(Capability::ALL),
        limits: CallLimits { quarantine_after: 0, ..CallLimits::default() },
        services: Services::default(),
    }
}

/// A loaded plugin. Compiled once for all tests: that takes longer than anything they do.
pub(crate) fn load(name: &str, config: &str) -> Plugin {
    load_within(name, config, CallLimits::default().deadline)
}

/// The hostile plugin, told what to do. Unless the deadline is what it is to run into, it gets one that a busy
/// machine does not reach.
pub(crate) fn hostile(behaviour: &str) -> Plugin {
    let deadline = if behaviour.starts_with("loop") { CallLimits::default().deadline } else { Duration::from_secs(5) };
    load_within("hostile", behaviour, deadline)
}

fn load_within(name: &str, config: &str, deadline: Duration) -> Plugin {
    static LOADED: LazyLock<Mutex<BTreeMap<(String, String), Plugin>>> = LazyLock::new(Mutex::default);
    let mut loaded = LOADED.lock();
    let key = (name.to_owned(), config.to_owned());
    let load = || {
        let mut spec = spec(name, config);
        spec.limits.deadline = deadline;
        spec.limits.instances = Some(INSTANCES);
        ENGINE.load(spec).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    loaded.entry(key).or_insert_with(load).clone()
}

/// `jwt-access` that lets tokens with the scope `infer` use any route.
pub(crate) fn access() -> Plugin {
    load("jwt-access", r#"{"realm":"demo","rules":[{"scopes":["infer"]}]}"#)
}

pub(crate) struct Request {
    pub(crate) model: Option<&'static str>,
    pub(crate) headers: BTreeMap<&'static str, &'static str>,
}

impl RequestView for Request {
    fn method(&self) -> &str {
        "POST"
    }
    fn path(&self) -> &str {
        "/v2/models/minilm/infer"
    }
    fn host(&self) -> &str {
        "localhost"
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.headers.get(name).map(|value| Cow::Borrowed(value.as_bytes()))
    }
    fn route(&self) -> &str {
        "oip"
    }
    fn model(&self) -> Option<&str> {
        self.model
    }
    fn dialect(&self) -> &str {
        "oip"
    }
    fn header_names(&self) -> Vec<String> {
        self.headers.keys().map(|name| (*name).to_owned()).collect()
    }
    fn peer(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
    fn protocol(&self) -> &str {
        "HTTP/2.0"
    }
    fn trace_id(&self) -> &str {
        "4bf92f3577b34da6a3ce929d0e0e4736"
    }
}

pub(crate) struct Response;

impl ResponseView for Response {
    fn status(&self) -> u16 {
        200
    }
    fn header(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
    fn header_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Claims, or why there are none. The tenant is the claim `tenant`.
pub(crate) struct Identity {
    text: Result<String, Absence>,
    value: Value,
}

impl Identity {
    pub(crate) fn with(claims: Value) -> Arc<Self> {
        Arc::new(Self { text: Ok(claims.to_string()), value: claims })
    }

    pub(crate) fn absent(absence: Absence) -> Arc<Self> {
        Arc::new(Self { text: Err(absence), value: Value::Null })
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

/// A tenant that may infer.
pub(crate) fn acme() -> Arc<Identity> {
    Identity::with(json!({"tenant": "acme", "scope": "infer"}))
}

/// A request as every hook of it is called with.
pub(crate) fn request_by(identity: Arc<Identity>) -> Context {
    let request = Request { model: Some("minilm"), headers: BTreeMap::from([("x-a", "1")]) };
    let deadline = Instant::now() + Duration::from_secs(60);
    Context { request: Arc::new(request), identity, deadline, notes: Arc::default() }
}

/// A request of a tenant that may infer.
pub(crate) fn of_acme() -> Context {
    request_by(acme())
}

/// A message that takes its time to say that it has no field, and counts how often it did.
pub(crate) struct Slow {
    pub(crate) takes: Duration,
    pub(crate) asked: Arc<AtomicU32>,
}

impl Message for Slow {
    fn model(&self) -> Option<&str> {
        None
    }
    fn has(&self, _: &Field) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + self.takes;
        while Instant::now() < until {}
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

/// Calls `on-request` for a request of acme.
pub(crate) async fn ask(plugin: &Plugin) -> Result<Outcome<HeadEdits>, Failure> {
    plugin.on_request(&of_acme()).await
}

/// A message that notes what was done to it: each field with the key it is sealed with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    pub(crate) fields: Vec<(Field, Option<String>)>,
    pub(crate) expected: Vec<(String, String)>,
}

impl Notes {
    pub(crate) fn boxed(fields: &[(Field, Option<&str>)]) -> Box<dyn Message> {
        let fields = fields.iter().map(|(field, key)| (field.clone(), key.map(str::to_owned))).collect();
        Box::new(Self { fields, expected: Vec::new() })
    }

    pub(crate) fn of(message: Box<dyn Message>) -> Self {
        *message.into_any().downcast().expect("the message that was passed in")
    }

    fn at(&mut self, field: &Field) -> Result<&mut Option<String>, SealFailure> {
        self.fields.iter_mut().find(|(name, _)| name == field).map(|(_, key)| key).ok_or(SealFailure::NoField)
    }
}

impl Message for Notes {
    fn model(&self) -> Option<&str> {
        Some("minilm")
    }
    fn has(&self, field: &Field) -> bool {
        self.fields.iter().any(|(name, _)| name == field)
    }
    fn seal(&mut self, field: &Field, key: &str) -> Result<(), SealFailure> {
        match self.at(field)? {
            Some(_) => Err(SealFailure::AlreadySealed),
            open => {
                *open = Some(key.to_owned());
                Ok(())
            }
        }
    }
    fn open(&mut self, field: &Field, key: &str) -> Result<(), SealFailure> {
        match self.at(field)? {
            None => Err(SealFailure::NotSealed),
            Some(with) if with != key => Err(SealFailure::Rejected),
            sealed => {
                *sealed = None;
                Ok(())
            }
        }
    }
    fn expect_sealed(&mut self, output: &str, key: &str) -> Result<(), SealFailure> {
        self.expected.push((output.to_owned(), key.to_owned()));
        Ok(())
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
