//! The command line, and the hidden commands that run the harness's own servers as processes of their own.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::suites::Suite;
use crate::{bare_onnx, report, serve, suites};

/// Measure Forebay beside nginx, HAProxy and Envoy on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    bench: Bench,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Bench {
    /// Which benchmark to run; all of them if none is named
    #[arg(value_enum)]
    pub(crate) suite: Option<Suite>,
    /// How often each contender is measured; the median is reported
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long one measurement lasts, in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) seconds: u64,
    /// How many requests are under way at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) concurrency: u16,
    /// Only these contenders, e.g. forebay,nginx
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// What a reader should know of this run, e.g. what else the machine was doing; goes to the page
    #[arg(long)]
    pub(crate) note: Option<String>,
    /// Also write docs/benchmarks.md from every result so far
    #[arg(long)]
    pub(crate) write: bool,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Write docs/benchmarks.md from every result so far, without measuring
    Page,
    /// One of the harness's own servers
    #[command(name = "__serve", hide = true)]
    Serve {
        #[arg(value_enum)]
        role: Role,
        #[arg(long)]
        port: u16,
        /// Certificate and key, for the floor
        #[arg(long)]
        tls: Option<PathBuf>,
    },
    /// The bare ONNX Runtime loop
    #[command(name = "__bare-onnx", hide = true)]
    BareOnnx {
        #[arg(long)]
        batch: usize,
        #[arg(long)]
        seconds: u64,
    },
}

/// What a server of the harness does.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    /// hyper and rustls with one fixed answer: what a TLS request costs at the least
    Floor,
    /// The fixed origin behind every proxy, which also speaks as a regional node with one fixed inference
    Origin,
}

impl Cli {
    pub(crate) fn run(self) -> Result<()> {
        match self.other {
            Some(Other::Serve { role, port, tls }) => serve::run(role, port, tls.as_deref()),
            Some(Other::BareOnnx { batch, seconds }) => bare_onnx::run(batch, seconds),
            Some(Other::Page) => report::write_page(),
            None => measure(&self.bench),
        }
    }
}

fn measure(bench: &Bench) -> Result<()> {
    let wanted = bench.suite.map_or_else(|| Suite::value_variants().to_vec(), Suite::parts);
    let mut failed = Vec::new();
    for suite in wanted {
        match suites::run(suite, bench) {
            Ok(result) => report::keep(&result)?,
            Err(error) => {
                eprintln!("bench: {}: {error:#}", suite.name());
                failed.push(suite.name());
            }
        }
    }
    if bench.write {
        report::write_page()?;
    }
    if !failed.is_empty() {
        anyhow::bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
