//! What the plugin host costs: `cargo run --release -p forebay-policy --example policy-cost`, after `cargo xtask assets`.
//!
//! Prints one figure on each line; with `--json` as `cargo xtask bench policy` reads them.

#![allow(clippy::print_stdout)]

mod process;
mod subject;

use std::collections::BTreeSet;
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_policy::{
    ArtefactCache, CallLimits, Capability, Context, Engine, EngineLimits, NodeKey, Plugin, PluginSpec, Recall, Services,
};
use serde_json::json;

type Done<T = ()> = Result<T, Box<dyn Error>>;

const RULE: &str = "bench-rule";
const RULE_CONFIG: &str = r#"{"prefix":"/v2/"}"#;
const BATCHES: usize = 61;
const CALLS_PER_BATCH: u32 = 500;
/// Calls that come together, as connections' requests do.
const BURST: usize = 16;
/// Bursts that are measured, a millisecond apart.
const BURSTS: usize = 2_000;
const MANY_PLUGINS: usize = 1_000;
const ARTEFACT_BYTES: u64 = 1 << 30;

/// Prints figures.
#[derive(Clone, Copy)]
struct Printer {
    json: bool,
}

impl Printer {
    fn print(self, what: &str, value: f64, p99: Option<f64>, unit: &str, wanted: Option<&str>) {
        if self.json {
            println!("{}", json!({"what": what, "value": value, "p99": p99, "unit": unit, "wanted": wanted}));
            return;
        }
        let p99 = p99.map_or_else(String::new, |p99| format!("p99 {p99:.2}"));
        let wanted = wanted.map_or_else(String::new, |wanted| format!("(at most {wanted})"));
        println!("{what:<64} {value:>9.3} {unit:<5} {p99:<12} {wanted}");
    }
}

fn wasm(name: &str) -> Done<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/assets/plugins");
    Ok(std::fs::read(folder.join(format!("{name}.wasm")))?)
}

fn spec(name: &str, config: &str, mut limits: CallLimits) -> Done<PluginSpec> {
    let grants = BTreeSet::from(Capability::ALL);
    let (wasm, name, config) = (wasm(name)?, name.to_owned(), config.to_owned());
    // A plugin that always fails is timed too, which a quarantine would end.
    limits.quarantine_after = 0;
    Ok(PluginSpec { name, wasm, config, grants, limits, services: Services::default() })
}

/// Every call in a new instance that is made for it.
fn on_the_spot() -> CallLimits {
    CallLimits { memo_bytes: 0, ready: 0, ..CallLimits::default() }
}

/// Every call in a new instance that was made ahead.
fn ahead() -> CallLimits {
    CallLimits { memo_bytes: 0, ..CallLimits::default() }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    times.get(last * percent / 100).copied().unwrap_or_default()
}

/// Calls one after the other: the median of batches, in microseconds.
async fn in_a_row(plugin: &Plugin, context: &Context) -> f64 {
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let started = Instant::now();
        for _ in 0..CALLS_PER_BATCH {
            // Failing is timed too.
            let _ = black_box(plugin.on_request(context).await);
        }
        batches.push(micros(started.elapsed() / CALLS_PER_BATCH));
    }
    percentile(&mut batches, 50)
}

/// Bursts of calls a millisecond apart, as on a node that has something else to do: what each round through the chain
/// takes, and the CPU time of all threads.
async fn bursts(chain: &[Plugin], context: &Context) -> (Vec<f64>, Duration) {
    let mut times = Vec::with_capacity(BURST * BURSTS);
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    // A machine that falls behind must not make one burst of several: stocks are filled between them.
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let before = process::cpu();
    for _ in 0..BURSTS {
        pace.tick().await;
        for _ in 0..BURST {
            let started = Instant::now();
            for plugin in chain {
                let _ = black_box(plugin.on_request(context).await);
            }
            times.push(micros(started.elapsed()));
        }
    }
    (times, process::cpu().saturating_sub(before))
}

/// Median and p99 of a chain's time in microseconds, and its CPU time on top of what pacing takes.
async fn in_bursts(chain: &[Plugin], context: &Context) -> (f64, f64, f64) {
    let (_, pacing) = bursts(&[], context).await;
    // The stocks fill.
    bursts(chain, context).await;
    let (mut times, used) = bursts(chain, context).await;
    let cpu = micros(used.saturating_sub(pacing)) / times.len() as f64;
    (percentile(&mut times, 50), percentile(&mut times, 99), cpu)
}

async fn instances(engine: &Engine, context: &Context, printer: Printer) -> Done {
    let fresh = engine.load(spec(RULE, RULE_CONFIG, on_the_spot())?)?;
    printer.print(
        "rule in an instance made on the spot, calls in a row",
        in_a_row(&fresh, context).await,
        None,
        "µs",
        None,
    );
    let (p50, p99, cpu) = in_bursts(std::slice::from_ref(&fresh), context).await;
    printer.print("the same in bursts", p50, Some(p99), "µs", None);
    printer.print("the same, CPU of all threads", cpu, None, "µs", None);
    let mut chain = Vec::new();
    for _ in 0..4 {
        chain.push(engine.load(spec(RULE, RULE_CONFIG, ahead())?)?);
    }
    for length in [1, 4] {
        let (p50, p99, cpu) = in_bursts(chain.get(..length).unwrap_or_default(), context).await;
        let wanted = |each: usize| Some((each * length).to_string());
        let what = |what: &str| format!("rule in instances made ahead, x{length}, {what}");
        printer.print(&what("on the request path"), p50, Some(p99), "µs", wanted(3).as_deref());
        printer.print(&what("CPU of all threads"), cpu, None, "µs", wanted(10).as_deref());
    }
    let ahead = in_a_row(chain.first().ok_or("no plugin")?, context).await;
    printer.print("the same, calls in a row, which no stock keeps up with", ahead, None, "µs", None);
    for (name, config) in [("jwt-access", r#"{"rules":[{"scopes":["infer"]}]}"#), ("hostile", "trap")] {
        let plugin = engine.load(spec(name, config, on_the_spot())?)?;
        let what = format!("{name} {} on the spot, calls in a row", if name == "hostile" { "that traps" } else { "" });
        printer.print(&what, in_a_row(&plugin, context).await, None, "µs", None);
    }
    Ok(())
}

async fn memo(engine: &Engine, context: &Context, printer: Printer) -> Done {
    let mut chain = Vec::new();
    for _ in 0..4 {
        let plugin = engine.load(spec(RULE, RULE_CONFIG, CallLimits::default())?)?;
        // A memo keeps what it has seen more than once.
        for _ in 0..8 {
            let _ = plugin.on_request(context).await;
        }
        chain.push(plugin);
    }
    for (length, wanted) in [(1, "0.25"), (4, "1")] {
        let chain = chain.get(..length).unwrap_or_default();
        let mut known = 0;
        let mut batches = Vec::new();
        for _ in 0..BATCHES {
            let started = Instant::now();
            for _ in 0..CALLS_PER_BATCH {
                for plugin in chain {
                    let recalled = plugin.recall_request(&*context.request, &*context.identity);
                    known += u64::from(matches!(black_box(recalled), Recall::Known(_)));
                }
            }
            batches.push(micros(started.elapsed() / CALLS_PER_BATCH));
        }
        let asked = BATCHES as u64 * u64::from(CALLS_PER_BATCH) * length as u64;
        if known < asked {
            return Err(format!("the memo knew {known} of {asked} decisions").into());
        }
        printer.print(
            &format!("verdict from the memo, x{length}"),
            percentile(&mut batches, 50),
            None,
            "µs",
            Some(wanted),
        );
    }
    Ok(())
}

async fn loading(context: &Context, printer: Printer) -> Done {
    let folder = tempfile::tempdir()?;
    let cache =
        ArtefactCache::open(&folder.path().join("artefacts"), &NodeKey::ensure(folder.path())?, ARTEFACT_BYTES)?;
    let engine = Engine::new(&EngineLimits::default())?.with_artefacts(Arc::new(cache));
    for (name, config) in [(RULE, RULE_CONFIG), ("jwt-access", r#"{"rules":[{"scopes":["infer"]}]}"#)] {
        let mut times = Vec::new();
        for _ in 0..21 {
            let spec = spec(name, config, ahead())?;
            let started = Instant::now();
            drop(engine.load(spec)?);
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        printer.print(&format!("{name}, compiled and configured"), times.remove(0), None, "ms", None);
        let slowest = percentile(&mut times, 100);
        printer.print(
            &format!("{name}, from its artefact"),
            percentile(&mut times, 50),
            Some(slowest),
            "ms",
            Some("5"),
        );
    }
    many(&engine, context, printer).await
}

/// A thousand plugins beside the one that is called.
async fn many(engine: &Engine, context: &Context, printer: Printer) -> Done {
    let called = [engine.load(spec(RULE, RULE_CONFIG, ahead())?)?];
    let (before, _, _) = in_bursts(&called, context).await;
    let resident = process::resident_bytes();
    let started = Instant::now();
    let mut plugins = Vec::with_capacity(MANY_PLUGINS);
    for _ in 0..MANY_PLUGINS {
        plugins.push(engine.load(spec(RULE, RULE_CONFIG, ahead())?)?);
    }
    let took = started.elapsed().as_secs_f64() * 1e3 / MANY_PLUGINS as f64;
    let each = process::resident_bytes().saturating_sub(resident) as f64 / 1024.0 / MANY_PLUGINS as f64;
    printer.print("1,000 plugins loaded, each", took, None, "ms", Some("5"));
    printer.print("1,000 plugins loaded, resident memory of each", each, None, "KiB", None);
    let (after, _, _) = in_bursts(&called, context).await;
    printer.print("request path beside them, to that without them", after / before, None, "", None);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let printer = Printer { json: std::env::args().any(|argument| argument == "--json") };
    let engine = Engine::new(&EngineLimits::default())?;
    let context = subject::context();
    instances(&engine, &context, printer).await?;
    memo(&engine, &context, printer).await?;
    drop(engine);
    loading(&context, printer).await
}
