//! The benchmark program: starts Forebay and its peers on loopback, loads each in turn, and compares.
//!
//! CPU time per request is the figure that counts: it is read from the servers' own processes, so neither the load
//! generator nor a neighbour on shared cores gets into it. Rounds are interleaved, and medians reported, so that a
//! slow minute hits every contender alike.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arena;
mod bare_onnx;
mod cli;
mod contender;
mod credentials;
mod load;
mod peers;
mod process;
mod report;
mod sample;
mod serve;
mod suites;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
