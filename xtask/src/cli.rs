//! The command line.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{Workspace, assets, bench, demo, test};

/// Everything this tree needs done, one command each.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prepare ONNX Runtime, the models and the policy plugins under target/assets
    Assets,
    /// Check formatting, lints, licences and dependencies, then run every test
    Test {
        /// Passed on to `cargo test --workspace`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Start one PoP and two regions on this machine and take the tour
    Demo {
        /// Passed on to `forebay demo`, e.g. --once
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure the gateway beside nginx, HAProxy and Envoy
    Bench {
        /// A benchmark's name and options; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from succeeding, in words for a terminal.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Assets => assets::ensure().map(|_| ()),
            Command::Test { args } => test::run(&Workspace::locate()?, &args),
            Command::Demo { args } => demo::run(&Workspace::locate()?, &args),
            Command::Bench { args } => bench::run(&Workspace::locate()?, &args),
        }
    }
}
