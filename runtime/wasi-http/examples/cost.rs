//! What a request costs: `cargo run --release -p forebay-wasi-http --example cost`, after `cargo xtask assets`.
//!
//! Prints the median time of a request through each of the test guests, in microseconds.

#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_http::Body;
use forebay_wasi_http::{Call, CallLimits, Engine, EngineLimits, Exchange, Function, FunctionSpec, Grant, Upstream};
use http::{Request, Response};
use http_body_util::BodyExt as _;

const BATCHES: usize = 61;
const CALLS_PER_BATCH: u32 = 200;

/// What stands behind a middleware here: an answer that is there at once.
struct Ready;

impl Upstream for Ready {
    fn send(&self, _: Request<Body>) -> Exchange {
        Box::pin(std::future::ready(Ok(Response::new(Body::full("ready\n")))))
    }
}

fn load(engine: &Engine, name: &str) -> Result<Function, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/assets/plugins");
    Ok(engine.load(FunctionSpec {
        name: name.to_owned(),
        wasm: std::fs::read(folder.join(format!("{name}.wasm")))?,
        grants: BTreeSet::from(Grant::ALL),
        origins: Vec::new(),
        outbound: None,
        env: BTreeMap::new(),
        limits: CallLimits::default(),
        on_cut: None,
    })?)
}

async fn once(function: &Function, behaviour: &str) -> Result<(), Box<dyn Error>> {
    let request = Request::post("https://edge.test/a/path?q=1")
        .header("x-behaviour", behaviour)
        .header("x-middleware", behaviour)
        .body(Body::empty())?;
    let deadline = Instant::now() + Duration::from_secs(10);
    let response = function.call(Call { request, deadline, next: Some(Arc::new(Ready)) }).await?;
    response.into_body().collect().await?;
    Ok(())
}

async fn median(function: &Function, behaviour: &str) -> Result<Duration, Box<dyn Error>> {
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let started = Instant::now();
        for _ in 0..CALLS_PER_BATCH {
            once(function, behaviour).await?;
        }
        batches.push(started.elapsed() / CALLS_PER_BATCH);
    }
    batches.sort_unstable();
    Ok(batches.get(BATCHES / 2).copied().unwrap_or_default())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(&EngineLimits::default())?;
    for (name, behaviour, what) in [
        ("wasi-service", "", "wasi:http@0.3 function, a line of text"),
        ("wasi-incoming", "", "wasi:http@0.2 function, a line of text"),
        ("wasi-middleware", "pass", "wasi:http@0.3 middleware, passes"),
        ("wasi-middleware", "edit", "wasi:http@0.3 middleware, a field each way"),
        ("wasi-middleware", "answer", "wasi:http@0.3 middleware, answers itself"),
    ] {
        let function = load(&engine, name)?;
        println!("{what:<45} {:>7.1} µs", median(&function, behaviour).await?.as_secs_f64() * 1e6);
    }
    Ok(())
}
