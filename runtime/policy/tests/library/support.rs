//! What the tests share: one engine, requests and responses, and services that live as long as a test.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_policy::services::{
    CounterFailure, Counters, Journal, JournalFailure, KeyFailure, KeyValue, Keys, Numbers, StoreFailure, Take, Taken,
    Wait,
};
use forebay_policy::{
    Absence, Answer, CallLimits, Capability, Context, Engine, EngineLimits, HeadEdits, IdentityView, Outcome, Plugin,
    PluginSpec, RequestView, ResponseView, Services,
};
use parking_lot::Mutex;
use ring::hmac;
use serde_json::Value;
use tokio::task::yield_now;

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(&EngineLimits { instances: 64, ..EngineLimits::default() }).expect("an engine"));

/// A plugin with these grants. More than it imports is a mistake of its README, and less does not load.
pub(crate) fn load(name: &str, config: &Value, grants: &[Capability], services: Services) -> Plugin {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/assets/plugins/{name}.wasm"));
    let wasm =
        std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask assets`", file.display()));
    // A busy machine is not what is tested.
    let limits = CallLimits { deadline: Duration::from_secs(5), ..CallLimits::default() };
    let grants: BTreeSet<Capability> = grants.iter().copied().collect();
    let spec = PluginSpec {
        name: name.to_owned(),
        wasm,
        config: config.to_string(),
        grants: grants.clone(),
        limits,
        services,
    };
    let plugin = ENGINE.load(spec).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(*plugin.imports(), grants, "what {name} imports");
    plugin
}

/// A request to ask about.
#[derive(Clone, Default)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) headers: BTreeMap<&'static str, String>,
    pub(crate) claims: Option<Value>,
}

impl Ask {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.to_owned());
        self
    }

    pub(crate) fn claims(mut self, claims: Value) -> Self {
        self.claims = Some(claims);
        self
    }

    pub(crate) fn context(self) -> Context {
        Context {
            identity: Arc::new(Identity(self.claims.clone(), self.claims.as_ref().map(Value::to_string))),
            request: Arc::new(self),
            deadline: Instant::now() + Duration::from_secs(60),
            notes: Arc::default(),
        }
    }
}

impl RequestView for Ask {
    fn method(&self) -> &str {
        if self.method.is_empty() { "POST" } else { self.method }
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
        Some("minilm")
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

struct Identity(Option<Value>, Option<String>);

impl IdentityView for Identity {
    fn claims(&self) -> Result<&str, Absence> {
        self.1.as_deref().ok_or(Absence::Missing)
    }
    fn claim(&self, pointer: &str) -> Option<Cow<'_, str>> {
        self.0.as_ref()?.pointer(pointer).map(|value| Cow::Owned(value.to_string()))
    }
    fn tenant(&self) -> Option<&str> {
        self.0.as_ref()?.get("tenant")?.as_str()
    }
}

/// A response with these fields.
pub(crate) struct Reply(pub(crate) BTreeMap<&'static str, &'static str>);

impl ResponseView for Reply {
    fn status(&self) -> u16 {
        200
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.0.get(name).map(|value| Cow::Borrowed(value.as_bytes()))
    }
    fn header_names(&self) -> Vec<String> {
        self.0.keys().map(|name| (*name).to_owned()).collect()
    }
}

pub(crate) async fn ask(plugin: &Plugin, context: &Context) -> Outcome<HeadEdits> {
    plugin.on_request(context).await.unwrap()
}

pub(crate) async fn respond(plugin: &Plugin, reply: Reply, context: &Context) -> http::HeaderMap {
    match plugin.on_response(Arc::new(reply), None, context).await.unwrap() {
        Outcome::Continue((edits, _)) => edited(&edits),
        Outcome::Answer(answer) => panic!("{answer:?}"),
    }
}

pub(crate) fn goes_on(outcome: Outcome<HeadEdits>) -> HeadEdits {
    match outcome {
        Outcome::Continue(edits) => edits,
        Outcome::Answer(answer) => panic!("{answer:?}"),
    }
}

pub(crate) fn answer<T>(outcome: Outcome<T>) -> Answer {
    match outcome {
        Outcome::Answer(answer) => answer,
        Outcome::Continue(_) => panic!("not answered"),
    }
}

pub(crate) fn field(answer: &Answer, name: &str) -> Option<String> {
    answer.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.to_str().unwrap().to_owned())
}

/// The fields that edits set.
pub(crate) fn edited(edits: &HeadEdits) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    edits.apply(&mut headers);
    headers
}

/// Stores, keys and numbers that live as long as a test. Time stands still.
#[derive(Default)]
pub(crate) struct Shelf {
    buckets: Mutex<BTreeMap<String, u64>>,
    values: Mutex<BTreeMap<String, Bytes>>,
    pub(crate) counts: Mutex<BTreeMap<String, u64>>,
    pub(crate) records: Mutex<Vec<String>>,
}

impl Shelf {
    pub(crate) fn services(self: &Arc<Self>) -> Services {
        Services {
            counters: Some(Arc::<Self>::clone(self)),
            key_value: Some(Arc::<Self>::clone(self)),
            keys: Some(Arc::<Self>::clone(self)),
            numbers: Some(Arc::<Self>::clone(self)),
            journal: Some(Arc::<Self>::clone(self)),
            ..Services::default()
        }
    }
}

impl Counters for Shelf {
    fn add<'a>(&'a self, _: &'a str, _: u64, _: Duration) -> Wait<'a, Result<u64, CounterFailure>> {
        Box::pin(async { Err(CounterFailure::Unavailable) })
    }
    fn get<'a>(&'a self, _: &'a str) -> Wait<'a, Result<u64, CounterFailure>> {
        Box::pin(async { Err(CounterFailure::Unavailable) })
    }
    fn take<'a>(&'a self, bucket: &'a str, take: Take) -> Wait<'a, Result<Taken, CounterFailure>> {
        let mut buckets = self.buckets.lock();
        let left = buckets.entry(bucket.to_owned()).or_insert(take.capacity);
        let granted = *left >= take.tokens;
        if granted {
            *left -= take.tokens;
        }
        let (remaining, wait) = (*left, Duration::from_secs(u64::from(!granted)));
        Box::pin(async move { Ok(Taken { granted, remaining, retry_after: wait, reset: Duration::from_secs(2) }) })
    }
}

/// Each operation lets others go first, so that those of several calls come between each other.
impl KeyValue for Shelf {
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Bytes>, StoreFailure>> {
        Box::pin(async move {
            yield_now().await;
            Ok(self.values.lock().get(key).cloned())
        })
    }
    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        _: Duration,
        if_absent: bool,
    ) -> Wait<'a, Result<bool, StoreFailure>> {
        Box::pin(async move {
            yield_now().await;
            let mut values = self.values.lock();
            let kept = !(if_absent && values.contains_key(key));
            if kept {
                values.insert(key.to_owned(), value);
            }
            Ok(kept)
        })
    }
    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StoreFailure>> {
        Box::pin(async move {
            yield_now().await;
            self.values.lock().remove(key);
            Ok(())
        })
    }
}

impl Keys for Shelf {
    fn sign(&self, key: &str, purpose: &str, data: &[u8]) -> Result<Vec<u8>, KeyFailure> {
        let derived = hmac::Key::new(hmac::HMAC_SHA256, format!("{key}/{purpose}").as_bytes());
        if key == "audit" { Ok(hmac::sign(&derived, data).as_ref().to_vec()) } else { Err(KeyFailure::NoKey) }
    }
    fn verify(&self, key: &str, purpose: &str, data: &[u8], signature: &[u8]) -> Result<bool, KeyFailure> {
        Ok(self.sign(key, purpose, data)? == signature)
    }
    fn seal(&self, _: &str, _: &str, _: &str) -> Result<String, KeyFailure> {
        Err(KeyFailure::NoKey)
    }
    fn open(&self, _: &str, _: &str, _: &str) -> Result<String, KeyFailure> {
        Err(KeyFailure::NoKey)
    }
}

impl Journal for Shelf {
    fn append(&self, record: &str) -> Result<(), JournalFailure> {
        self.records.lock().push(record.to_owned());
        Ok(())
    }
}

impl Numbers for Shelf {
    fn count(&self, name: &str, by: u64) {
        *self.counts.lock().entry(name.to_owned()).or_default() += by;
    }
    fn observe(&self, _: &str, _: f64) {}
}
