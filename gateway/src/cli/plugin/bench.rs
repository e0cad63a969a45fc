//! `forebay plugin bench`: what a call costs here.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use forebay_policy::{CallLimits, Engine, Failure as CallFailure, Phase, Plugin};
use serde::Serialize;

use super::component::{Candidate, Which, usage};
use super::sample::Sample;
use super::say_json;
use crate::cli::{Failure, block_on, say};

/// Calls before those that are measured.
const WARM_UP: usize = 20;
/// The most calls that are measured.
const MOST_CALLS: usize = 10_000;
/// After which time no further call is begun.
const TIME: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    /// The request, as TOML or JSON. Default: request.toml beside the component, or here.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    component: String,
    hook: &'static str,
    load_ms: u128,
    ways: Vec<Way>,
}

/// One way in which a verdict comes about.
#[derive(Debug, Serialize)]
struct Way {
    way: &'static str,
    calls: usize,
    p50_us: f64,
    p99_us: f64,
}

/// Measures.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let candidate = options.which.candidate()?;
    let sample = Sample::read(options.request.as_deref(), &candidate.file)?;
    let engine = Candidate::engine()?;
    let started = Instant::now();
    let plugin = load(&candidate, &engine)?;
    let load_ms = started.elapsed().as_millis();
    let hook = if plugin.phases().has(Phase::Request) { Phase::Request } else { Phase::Response };
    if !plugin.phases().has(hook) || (hook == Phase::Response && sample.response.is_none()) {
        return Err(Failure::Usage(
            "a bench needs `on-request`, or `on-response` and a request with a [response]".to_owned(),
        ));
    }
    let mut ways = Vec::new();
    for (way, memo, ready) in
        [("fresh instance", false, false), ("premade instance", false, true), ("memo", true, true)]
    {
        if memo && !plugin.is_pure() {
            continue;
        }
        let plugin = load(&candidate.with_limits(|limits| only(limits, memo, ready)), &engine)?;
        ways.push(block_on(measure(way, &plugin, &sample, hook))?);
    }
    let report = Report { component: candidate.file.display().to_string(), hook: hook.hook(), load_ms, ways };
    if options.json { say_json(&report) } else { show(&report) }
}

fn load(candidate: &Candidate, engine: &Engine) -> Result<Plugin, Failure> {
    candidate.load(engine).map_err(|error| usage(&candidate.file, error))
}

/// Limits under which a verdict comes about in one way alone.
fn only(limits: &CallLimits, memo: bool, ready: bool) -> CallLimits {
    CallLimits {
        memo_bytes: if memo { limits.memo_bytes } else { 0 },
        ready: if ready { limits.ready } else { 0 },
        ..limits.clone()
    }
}

async fn measure(way: &'static str, plugin: &Plugin, sample: &Sample, hook: Phase) -> Result<Way, Failure> {
    let failed = |failure: CallFailure| Failure::Failed(format!("the plugin failed: {failure}"));
    for _ in 0..WARM_UP {
        call(plugin, sample, hook).await.map_err(failed)?;
    }
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < MOST_CALLS && begun.elapsed() < TIME {
        times.push(call(plugin, sample, hook).await.map_err(failed)?);
    }
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default().as_secs_f64() * 1e6
    };
    Ok(Way { way, calls: times.len(), p50_us: at(50), p99_us: at(99) })
}

/// Times one call; making the sample anew is not in it.
async fn call(plugin: &Plugin, sample: &Sample, hook: Phase) -> Result<Duration, CallFailure> {
    let context = sample.context();
    if let (Phase::Response, Some(response)) = (hook, &sample.response) {
        let head = std::sync::Arc::new(response.clone());
        let started = Instant::now();
        plugin.on_response(head, None, &context).await?;
        return Ok(started.elapsed());
    }
    let started = Instant::now();
    plugin.on_request(&context).await?;
    Ok(started.elapsed())
}

fn show(report: &Report) -> Result<(), Failure> {
    say(&format!("{}: {}, loaded in {} ms", report.component, report.hook, report.load_ms));
    say("  verdict by          calls    p50 µs    p99 µs");
    for way in &report.ways {
        say(&format!("  {:<16} {:>8} {:>9.1} {:>9.1}", way.way, way.calls, way.p50_us, way.p99_us));
    }
    Ok(())
}
