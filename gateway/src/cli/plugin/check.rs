//! `forebay plugin check`: what a component can do beside what it is granted, and whether a gateway would load it.

use std::time::Instant;

use clap::Args;
use forebay_policy::{LoadError, Plugin};
use serde::Serialize;

use super::component::{Candidate, Which, size};
use super::say_json;
use crate::cli::{Failure, say};

/// What to check.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    component: String,
    size_bytes: usize,
    fit: bool,
    /// Why it is not.
    problem: Option<String>,
    hooks: Vec<&'static str>,
    imports: Vec<&'static str>,
    /// WASI interfaces that it imports, with nothing behind them.
    wasi_stubbed: Vec<String>,
    grants: Vec<&'static str>,
    /// Imports that are not granted.
    missing: Vec<&'static str>,
    /// Whether verdicts depend on the request and the configuration alone, so that they are remembered.
    pure: bool,
    digest: Option<String>,
    load_ms: u128,
}

/// Loads the component and reports.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let candidate = options.which.candidate()?;
    let report = report(&candidate)?;
    if options.json {
        say_json(&report)?;
    } else {
        show(&report);
    }
    match report.problem {
        None => Ok(()),
        Some(problem) => Err(Failure::Failed(problem)),
    }
}

fn report(candidate: &Candidate) -> Result<Report, Failure> {
    let engine = Candidate::engine()?;
    let started = Instant::now();
    let loaded = candidate.load(&engine);
    let mut report = Report {
        component: candidate.file.display().to_string(),
        size_bytes: candidate.bytes,
        fit: false,
        problem: None,
        hooks: Vec::new(),
        imports: Vec::new(),
        wasi_stubbed: Vec::new(),
        grants: candidate.grants.iter().map(|grant| grant.as_str()).collect(),
        missing: Vec::new(),
        pure: false,
        digest: None,
        load_ms: started.elapsed().as_millis(),
    };
    match loaded {
        Ok(plugin) => report.describe(&plugin),
        Err(error) => report.problem = Some(in_words(&error)),
    }
    report.fit = report.problem.is_none();
    Ok(report)
}

impl Report {
    fn describe(&mut self, plugin: &Plugin) {
        self.hooks = plugin.phases().iter().map(forebay_policy::Phase::hook).collect();
        self.imports = plugin.imports().iter().map(|import| import.as_str()).collect();
        self.wasi_stubbed = plugin.stubbed().to_vec();
        self.missing = self.imports.iter().copied().filter(|import| !self.grants.contains(import)).collect();
        self.pure = plugin.is_pure();
        self.digest = Some(plugin.digest().to_owned());
        if !self.missing.is_empty() {
            self.problem = Some(format!(
                "the component uses [{}] but is granted [{}]: grant {} or do without",
                self.imports.join(", "),
                self.grants.join(", "),
                self.missing.join(", ")
            ));
        }
    }
}

/// An error of the loader, with the key that would change it where there is one.
fn in_words(error: &LoadError) -> String {
    match error {
        LoadError::Configure(forebay_policy::Failure::Memory) => {
            format!("{error}: it needs more than it has before its first call; raise memory_bytes")
        }
        error => error.to_string(),
    }
}

fn show(report: &Report) {
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    say(&format!("{}: {}", report.component, size(report.size_bytes)));
    if report.digest.is_some() {
        say(&format!("  hooks    {}", list(&report.hooks)));
        say(&format!("  imports  {}", list(&report.imports)));
        if !report.wasi_stubbed.is_empty() {
            say(&format!("           wasi (stubbed: nothing is behind it): {}", report.wasi_stubbed.join(", ")));
        }
    }
    say(&format!("  grants   {}", list(&report.grants)));
    if let Some(digest) = &report.digest {
        let pure = "yes: its verdicts depend on the request and the configuration alone, and are remembered";
        say(&format!("  pure     {}", if report.pure { pure } else { "no: each request is a call" }));
        say(&format!("  digest   {digest}"));
        say(&format!("  loaded   in {} ms, configured", report.load_ms));
    }
    if report.fit {
        say("fit to serve");
    }
}
