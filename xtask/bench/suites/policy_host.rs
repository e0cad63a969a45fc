//! The plugin host alone, on one core, and what a plugin that never returns does to the requests beside it.
//!
//! The host is measured by its own example program (`runtime/policy/examples/cost.rs`), which prints a figure on each
//! line; the loop is measured through the whole gateway.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Suite;
use crate::arena::Arena;
use crate::cli::Bench;
use crate::contender::Contender;
use crate::load::{self, Protocol};
use crate::peers::forebay;
use crate::process;
use crate::report::{Figure, Outcome};
use crate::sample;

/// How often the plugin that never returns is asked: it would take six tenths of a core if nothing stopped it earlier.
const LOOP_EVERY: Duration = Duration::from_millis(10);

/// The host's own figures, then the gateway's.
pub(super) fn run(arena: &Arena, bench: &Bench) -> Result<Outcome> {
    let mut figures = in_process()?;
    figures.extend(beside_a_loop(arena, bench)?);
    Ok(Outcome::new(Suite::PolicyHost, bench, Vec::new()).with_figures(figures))
}

fn in_process() -> Result<Vec<Figure>> {
    let program = std::env::current_exe()?.with_file_name("examples").join("cost");
    let output = Command::new(&program).arg("--json").output().with_context(|| program.display().to_string())?;
    if !output.status.success() {
        bail!("{} failed: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
    let lines = String::from_utf8(output.stdout)?;
    lines.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// p99 of the requests on one route, alone and while another route's plugin never returns.
fn beside_a_loop(arena: &Arena, bench: &Bench) -> Result<Vec<Figure>> {
    let alone = forebay::start_ruled(arena, 1, false)?;
    let rests = forebay::start_beside_a_loop(arena, true)?;
    let never = forebay::start_beside_a_loop(arena, false)?;
    for contender in [&alone, &rests, &never] {
        contender.check(arena, Protocol::Http1)?;
    }
    let (mut quiet, mut resting, mut looping, mut cut) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.rounds {
        eprintln!("bench: beside a loop, round {round} of {}", bench.rounds);
        let duration = Duration::from_secs(bench.seconds);
        quiet.push(alone.measure(arena, Protocol::Http1, bench.concurrency, duration)?.p99_us);
        resting.push(beside(arena, &rests, bench.concurrency, duration)?.0);
        let (p99, answered) = beside(arena, &never, bench.concurrency, duration)?;
        looping.push(p99);
        cut.push(answered);
    }
    let ratio = |with: &[f64]| sample::middle(with.iter().zip(&quiet).map(|(with, quiet)| with / quiet).collect());
    let figure = |what: &str, value: f64, unit: &str| Figure {
        what: what.to_owned(),
        value,
        p99: None,
        unit: unit.to_owned(),
        wanted: None,
    };
    let idle = alone_in_a_loop(arena, &never, Duration::from_secs(bench.seconds))?;
    let deadline_us = forebay::rule::DEADLINE_MS * 1_000;
    Ok(vec![
        figure("request to a looping plugin on an idle node, sent to refused, p50", idle, "µs")
            .wanted(&format!("deadline of {deadline_us} µs and one tick of 1,000 µs, of computing")),
        figure("the same under load, waiting for a core included", sample::middle(cut), "µs"),
        figure("p99 of other routes, no loop", sample::middle(quiet.clone()), "µs"),
        figure("p99 of other routes beside a loop, to that", ratio(&resting), "").wanted("1.25"),
        figure("the same, never quarantined", ratio(&looping), ""),
    ])
}

/// p50 of requests to the plugin that never returns when nobody asks anything else, in microseconds.
fn alone_in_a_loop(arena: &Arena, contender: &Contender, duration: Duration) -> Result<f64> {
    let target = contender.target(arena, Protocol::Http1)?;
    let asker = load::Pacer::start(target, contender.ask_for(forebay::rule::LOOPING), LOOP_EVERY);
    let started = Instant::now();
    while started.elapsed() < duration {
        process::pause();
    }
    Ok(asker.finish()?.value_at_quantile(0.50) as f64)
}

/// p99 of the load, and p50 of what asked the plugin that never returns, in microseconds.
fn beside(arena: &Arena, contender: &Contender, concurrency: u16, duration: Duration) -> Result<(f64, f64)> {
    let target = contender.target(arena, Protocol::Http1)?;
    let asker = load::Pacer::start(target, contender.ask_for(forebay::rule::LOOPING), LOOP_EVERY);
    let sample = contender.measure(arena, Protocol::Http1, concurrency, duration);
    let answered = asker.finish()?;
    Ok((sample?.p99_us, answered.value_at_quantile(0.50) as f64))
}
