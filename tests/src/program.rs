//! The program `forebay`, built under this crate's name: Cargo tells tests the paths of their own crate's programs only.

use std::process::ExitCode;

fn main() -> ExitCode {
    forebay::cli::run()
}
