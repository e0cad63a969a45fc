//! What a call costs: `cargo run -p forebay-policy --example cost`, after `cargo xtask assets`.
//!
//! Prints the median time of a call of `jwt-access` and of a trapping plugin, in microseconds.

#![allow(clippy::print_stdout)]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_policy::{
    Absence, CallLimits, Capability, Engine, EngineLimits, IdentityView, Plugin, PluginSpec, RequestCall, RequestView,
};

const BATCHES: usize = 61;
const CALLS_PER_BATCH: u32 = 500;

struct Request;

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
    fn header(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
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
}

struct Acme;

impl IdentityView for Acme {
    fn claims(&self) -> Result<&str, Absence> {
        Ok(r#"{"scope":"infer"}"#)
    }
    fn claim(&self, pointer: &str) -> Option<String> {
        (pointer == "/scope").then(|| r#""infer""#.to_owned())
    }
    fn tenant(&self) -> Option<&str> {
        Some("acme")
    }
}

fn load(engine: &Engine, name: &str, config: &str) -> Result<Plugin, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/assets/plugins");
    let wasm = std::fs::read(folder.join(format!("{name}.wasm")))?;
    // A plugin that always fails is timed too, which a quarantine would end.
    let limits = CallLimits { quarantine_after: 0, ..CallLimits::default() };
    let grants = BTreeSet::from(Capability::ALL);
    Ok(engine.load(PluginSpec { name: name.to_owned(), wasm, config: config.to_owned(), grants, limits })?)
}

async fn median(plugin: &Plugin) -> Duration {
    let (request, identity) = (Arc::new(Request), Arc::new(Acme));
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let started = Instant::now();
        for _ in 0..CALLS_PER_BATCH {
            let call = RequestCall { request: request.clone(), identity: identity.clone() };
            // A trapping plugin is timed too.
            let _ = plugin.on_request(call).await;
        }
        batches.push(started.elapsed() / CALLS_PER_BATCH);
    }
    batches.sort_unstable();
    batches.get(BATCHES / 2).copied().unwrap_or_default()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(&EngineLimits::default())?;
    for (name, config) in
        [("jwt-access", r#"{"rules":[{"scopes":["infer"]}]}"#), ("hostile", "ok"), ("hostile", "trap")]
    {
        let plugin = load(&engine, name, config)?;
        println!("{name:<12} {config:<38} {:>7.1} µs", median(&plugin).await.as_secs_f64() * 1e6);
    }
    Ok(())
}
