//! `forebay plugin`: what authors of plugins and those who deploy them need, from an empty folder to a verdict.

use clap::Subcommand;

use super::{Failure, say};

mod bench;
mod build;
mod check;
mod component;
mod language;
mod lifecycle;
mod new;
mod record;
mod replay;
mod sample;
mod services;
mod sign;
mod trial;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a folder for a new plugin that builds, tests and runs at once.
    New(new::Options),
    /// Build the component of the plugin in a folder.
    Build(build::Options),
    /// Show what a component can do, and whether a gateway would load it. Exit code 1: it would not.
    Check(check::Options),
    /// Ask a plugin for its verdict on a request from a file.
    Try(trial::Options),
    /// Measure what a call of a plugin costs on this machine.
    Bench(bench::Options),
    /// Have a running gateway record the next decisions of a plugin. Records hold values of requests.
    Record(record::Options),
    /// Make recorded decisions again, without a gateway. Exit code 1: one of them came out otherwise.
    Replay(replay::Options),
    /// Put the candidate of a plugin in a running gateway in the place of its active version.
    Promote(lifecycle::Options),
    /// Put the version of a plugin that served well before in the place of the present one.
    Rollback(lifecycle::Options),
    /// Make the key that a publisher signs plugins with.
    Keygen(sign::KeyOptions),
    /// Sign a component: its content, its name and version, and what it imports.
    Sign(sign::SignOptions),
}

/// Runs the command.
pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::New(options) => new::run(options),
        Command::Build(options) => build::run(options),
        Command::Check(options) => check::run(options),
        Command::Try(options) => trial::run(options),
        Command::Bench(options) => bench::run(options),
        Command::Record(options) => record::run(options),
        Command::Replay(options) => replay::run(options),
        Command::Promote(options) => lifecycle::run(options, "promote"),
        Command::Rollback(options) => lifecycle::run(options, "rollback"),
        Command::Keygen(options) => sign::keygen(options),
        Command::Sign(options) => sign::sign(options),
    }
}

/// Prints a report as JSON, on one line.
fn say_json(report: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(report).map_err(|error| Failure::Failed(error.to_string()))?;
    say(&text);
    Ok(())
}
