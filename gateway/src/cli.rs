//! The command line. Exit codes: 0 clean, 1 failed, 2 bad usage or configuration.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod admin;
mod check;
pub(crate) mod key;
mod plugin;
mod region;
mod serve;
mod signals;
pub(crate) mod token;

use crate::demo;

/// An edge-cloud gateway for AI inference.
#[derive(Parser)]
#[command(name = "forebay", version, about, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a gateway node: TLS, policies, cache, and the way to the regions. SIGTERM drains, SIGHUP reloads.
    Serve {
        /// Configuration file; `gateway/example.toml` shows every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run a regional node with ONNX models behind the Open Inference Protocol. SIGTERM drains.
    Region {
        /// Configuration file; `runtime/region/example.toml` shows every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read a configuration file and report every mistake at once, with its line and a hint.
    Check {
        /// The file of a gateway node or of a regional node.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run one PoP and two regions on this machine with real models and plugins, and show what they do.
    Demo(demo::Options),
    /// Mint a development token with a private key of yours.
    Token(token::Options),
    /// Make a sealing key, or show a tenant's derived key as a JWK.
    #[command(subcommand)]
    Key(key::Command),
    /// Write, build, check, try and measure policy plugins.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Show what a running gateway node sees.
    Status(admin::Options),
    /// Tell a running gateway node to finish its requests and end.
    Drain(admin::Options),
    /// Tell a running gateway node to read its configuration again.
    Reload(admin::Options),
}

/// How a command failed.
pub(crate) enum Failure {
    /// The configuration or the usage is wrong: exit code 2.
    Usage(String),
    /// Anything else: exit code 1.
    Failed(String),
}

/// Runs the program.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve { config } => serve::run(&config),
        Command::Region { config } => region::run(&config),
        Command::Check { config } => check::run(&config),
        Command::Demo(options) => demo::run(&options),
        Command::Token(options) => token::run(&options),
        Command::Key(command) => key::run(&command),
        Command::Plugin(command) => plugin::run(&command),
        Command::Status(options) => admin::status(&options),
        Command::Drain(options) => admin::post(&options, "v1/drain"),
        Command::Reload(options) => admin::post(&options, "v1/reload"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => complain(&text, 2),
        Err(Failure::Failed(text)) => complain(&text, 1),
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "forebay: {text}");
    ExitCode::from(code)
}

/// Writes a line for the user. A closed pipe is not our failure.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// How long work that cannot be broken off, such as the loading of a model, may hold up the end of the program.
const LAST_WORK: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs a command's work to its end, on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_WORK);
    outcome
}

/// The runtime that a command runs on.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("forebay").build();
    built.map_err(|error| Failure::Failed(format!("the async runtime could not start: {error}")))
}
