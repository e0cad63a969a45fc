//! Results: a table on the terminal, a record under target/bench, a page under docs.

mod cost;
mod figure;
mod machine;

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use xtask::Workspace;

use crate::cli::Bench;
use crate::sample::Sample;
use crate::suites::Suite;
use clap::ValueEnum;
pub(crate) use cost::Cost;
pub(crate) use figure::Figure;
use machine::Machine;

/// One line of a result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) contender: String,
    pub(crate) protocol: String,
    pub(crate) median: Sample,
    /// Half the range of CPU per request over the rounds, relative to the median.
    pub(crate) spread: f64,
    /// Whether CPU was measured for it.
    pub(crate) has_cpu: bool,
}

/// A benchmark's result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    suite: String,
    rounds: u32,
    seconds: u64,
    concurrency: u16,
    machine: Machine,
    /// What a reader should know of this run.
    #[serde(default)]
    note: Option<String>,
    rows: Vec<Row>,
    /// What plugins add, where the benchmark is about that.
    #[serde(default)]
    costs: Vec<Cost>,
    /// Single figures.
    #[serde(default)]
    figures: Vec<Figure>,
}

impl Outcome {
    pub(crate) fn new(suite: Suite, bench: &Bench, rows: Vec<Row>) -> Self {
        Self {
            suite: suite.name().to_owned(),
            rounds: bench.rounds,
            seconds: bench.seconds,
            concurrency: bench.concurrency,
            machine: Machine::read(),
            note: bench.note.clone(),
            rows,
            costs: Vec::new(),
            figures: Vec::new(),
        }
    }

    pub(crate) fn with_costs(self, costs: Vec<Cost>) -> Self {
        Self { costs, ..self }
    }

    pub(crate) fn with_figures(self, figures: Vec<Figure>) -> Self {
        Self { figures, ..self }
    }

    /// Whichever of the three kinds of result there is.
    fn table(&self) -> String {
        match (self.rows.as_slice(), self.costs.as_slice()) {
            ([], []) => figure::table(&self.figures),
            ([], costs) => cost::table(costs),
            _ => self.rows_table(),
        }
    }

    /// As a Markdown table. The last column is each contender's CPU for each of Forebay's.
    fn rows_table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        let direct = |row: &&Row| !row.has_cpu && row.protocol == "h1";
        let base = self.rows.iter().find(direct).map(|row| row.median);
        let (p50, p99) = if base.is_some() { ("added p50 µs", "added p99 µs") } else { ("p50 µs", "p99 µs") };
        let cpu = "CPU µs/request";
        table.set_header(["", "", "requests/s", p50, p99, cpu, "spread", "requests/CPU s", "CPU, Forebay = 1"]);
        // The origin is asked over HTTP/1.1 whatever the client speaks, so that is the one to compare with.
        for row in self.rows.iter().filter(|row| row.has_cpu || row.protocol == "h1") {
            table.add_row(self.cells(row, base));
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    fn cells(&self, row: &Row, base: Option<Sample>) -> Vec<String> {
        let median = row.median;
        let added = |value: f64, base: Option<f64>| match base {
            Some(base) if row.has_cpu => format!("{:+.0}", value - base),
            Some(_) => format!("({value:.0})"),
            None => format!("{value:.0}"),
        };
        let mut cells = vec![
            row.contender.clone(),
            row.protocol.clone(),
            format!("{:.0}", median.requests_per_s),
            added(median.p50_us, base.map(|base| base.p50_us)),
            added(median.p99_us, base.map(|base| base.p99_us)),
        ];
        if row.has_cpu {
            let ours =
                self.rows.iter().find(|ours| ours.contender.starts_with("Forebay") && ours.protocol == row.protocol);
            let ours = ours.or_else(|| self.rows.iter().find(|ours| ours.contender.starts_with("Forebay")));
            cells.push(format!("{:.1}", median.cpu_us));
            cells.push(format!("±{:.0} %", row.spread * 100.0));
            cells.push(format!("{:.0}", median.requests_per_cpu_s()));
            cells.push(ours.map_or("".into(), |ours| format!("{:.2}", median.cpu_us / ours.median.cpu_us)));
        } else {
            cells.extend(["", "", "", ""].map(String::from));
        }
        cells
    }
}

fn record(suite: &str) -> Result<PathBuf> {
    Ok(Workspace::locate()?.root().join("target/bench").join(format!("{suite}.json")))
}

/// Prints a result and keeps it for the page.
pub(crate) fn keep(outcome: &Outcome) -> Result<()> {
    println!("\n{}\n\n{}\n", outcome.suite, outcome.table());
    let path = record(&outcome.suite)?;
    std::fs::create_dir_all(path.parent().context("a record needs a folder")?)?;
    std::fs::write(&path, serde_json::to_vec_pretty(outcome)?)?;
    Ok(())
}

const INTRODUCTION: &str = "# Benchmarks

Written by `cargo xtask bench --write`; repeat it with the same command (Debian's `nginx` and `haproxy` must be installed,
Envoy is fetched).

How to read it: every contender runs on loopback with the same certificate (ECDSA P-256), two threads and no access log, and
gets the same closed-loop load over kept-alive TLS from one client thread on the same machine. Contenders take turns, and each figure is the
median of the rounds. **CPU per request is the figure to compare**: user and system time of the server's own processes. Requests per
second and latencies include the client on the same few cores, so they say more about the machine than about a gateway.
The spread is half the range of CPU per request over the rounds.
";

/// Writes the page from every record there is.
pub(crate) fn write_page() -> Result<()> {
    let mut page = INTRODUCTION.to_owned();
    for suite in Suite::value_variants() {
        let Ok(bytes) = std::fs::read(record(suite.name())?) else {
            continue;
        };
        let outcome: Outcome = serde_json::from_slice(&bytes)?;
        write!(page, "\n## {}\n\n{}\n\n{}\n\n", suite.name(), explanation(*suite), outcome.table())?;
        let Outcome { rounds, seconds, concurrency, machine, note, .. } = &outcome;
        let note = note.as_ref().map_or_else(String::new, |note| format!(" {}.", note.trim_end_matches('.')));
        writeln!(page, "{rounds} rounds of {seconds} s, {concurrency} requests at once. {machine}.{note}")?;
    }
    let path = Workspace::locate()?.root().join("docs/benchmarks.md");
    std::fs::create_dir_all(path.parent().context("a page needs a folder")?)?;
    std::fs::write(&path, page)?;
    eprintln!("bench: wrote {}", path.display());
    Ok(())
}

fn explanation(suite: Suite) -> &'static str {
    match suite {
        Suite::TlsHit => {
            "An answer of 1 KiB from the contender's own cache. The peers look up a GET by its address; Forebay is asked \
             an inference by POST, so it also reads, decodes and hashes the question and encodes the answer. The floor is \
             a bare hyper and rustls server that answers with the same bytes."
        }
        Suite::Proxy => {
            "A GET passed to a fixed origin on the same machine, nothing cached. Latencies are what comes on top of asking \
             the origin directly, without TLS and over HTTP/1.1 (in parentheses)."
        }
        Suite::Policy => {
            "The cached answer for a caller with an ES256 token, which must have the right signature, issuer, audience, \
             expiry and scope. Every request carries the same token, and contenders differ in how often they verify it: \
             Forebay (`jwt-access`) and Envoy with its token cache on remember a token they have verified, so these two \
             are the like-for-like comparison; HAProxy (`jwt_verify` and rules) and Envoy as it comes (`jwt_authn` and \
             `rbac`) verify it each time. Each contender is checked beforehand to refuse a request without a token and \
             one with a broken signature."
        }
        Suite::PolicyRule => {
            "The job of the benchmark above, over HTTP/1.1, with a rule on top: a path's prefix, three headers and two claims are read, one \
             header is set and one removed. In Forebay it is a component (`tests/guests/bench-rule`), each call in a fresh \
             instance; `memo` is the default, which knows the verdict once it has seen what the rule reads. In Envoy it is a \
             proxy-wasm filter built with the public SDK (`tests/guests-bench`) and run by V8, in Envoy's favour: one virtual \
             machine per thread serves every request and all four filters, without limits on CPU, and claims come as headers \
             that `jwt_authn` made. Both remember verified tokens. What a plugin costs is the difference to the same gateway \
             without one, of the same round."
        }
        Suite::PolicyHost => {
            "The host in one process on one thread, the same rule, twenty request headers; and a gateway with a plugin that \
             never returns on another route, asked every 10 ms."
        }
        Suite::Infer => {
            "A sentence embedding (MiniLM), never the same text twice, through edge and region over TLS and HTTP/2, beside \
             a bare loop of tokeniser and ONNX Runtime with one thread. CPU is that of edge and region together; the bare \
             loop's times are those of a whole batch, its CPU is for each text."
        }
    }
}
