//! Real inferences: the whole way through edge and region beside the model alone.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use super::Suite;
use crate::arena::Arena;
use crate::bare_onnx::{self, Bare};
use crate::cli::Bench;
use crate::load::Protocol;
use crate::peers::forebay;
use crate::report::{Outcome, Row};
use crate::sample::{self, Sample};

/// Batches of the bare loop: one text at a time, and about the best there is for this model on a CPU.
const BATCHES: [usize; 2] = [1, 8];

/// Measures the model alone and the model behind edge and region, in turn.
pub(super) fn run(arena: &Arena, bench: &Bench) -> Result<Outcome> {
    let contender = forebay::start_with_region(arena, |number| Bytes::from(bare_onnx::question(number)))?;
    contender.check(arena, Protocol::Http2)?;
    let mut through = Vec::new();
    let mut bare = vec![Vec::new(); BATCHES.len()];
    for round in 1..=bench.rounds {
        eprintln!("bench: infer round {round} of {}", bench.rounds);
        let duration = Duration::from_secs(bench.seconds);
        through.push(contender.measure(arena, Protocol::Http2, bench.concurrency, duration)?);
        for (batch, samples) in BATCHES.iter().zip(&mut bare) {
            samples.push(run_bare(*batch, bench.seconds)?);
        }
    }
    let mut rows = vec![row("Forebay, edge and region".into(), "h2", &through)];
    for (batch, samples) in BATCHES.iter().zip(&bare) {
        rows.push(row(format!("bare ONNX Runtime, batch {batch}"), "none", samples));
    }
    Ok(Outcome::new(Suite::Infer, bench, rows))
}

fn row(contender: String, protocol: &str, samples: &[Sample]) -> Row {
    let (median, spread) = (sample::median(samples), sample::spread(samples));
    Row { contender, protocol: protocol.to_owned(), median, spread, has_cpu: true }
}

/// In a process of its own, as the servers are.
fn run_bare(batch: usize, seconds: u64) -> Result<Sample> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["__bare-onnx", "--batch", &batch.to_string(), "--seconds", &seconds.to_string()]);
    let output = command.output().context("could not start the bare loop")?;
    if !output.status.success() {
        bail!("the bare loop failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let bare: Bare = serde_json::from_slice(&output.stdout)?;
    Ok(bare.sample())
}
