//! `cargo xtask test`: all that must hold before a change lands, the quick checks first.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{Workspace, assets, command, deny};

/// The benchmark program is built on request alone, but checked with everything else.
const BENCH: &str = "xtask/bench";

/// `args` go to `cargo test --workspace`.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    step("format", || cargo(workspace, &["fmt", "--all", "--check"]))?;
    step("assets", || assets::ensure().map(|_| ()))?;
    step("dependencies", || deny::run(workspace))?;
    step("lints", || {
        let words = ["clippy", "--workspace", "--all-targets", "--features", BENCH];
        cargo(workspace, &[&words[..], &["--", "--deny", "warnings"]].concat())
    })?;
    step("tests", || {
        let mut words = vec!["test", "--workspace", "--features", BENCH];
        words.extend(args.iter().map(String::as_str));
        cargo(workspace, &words)
    })
}

fn cargo(workspace: &Workspace, args: &[&str]) -> Result<()> {
    command::run(command::cargo(workspace).args(args))
}

fn step(name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("== {name}");
    let started = Instant::now();
    work().with_context(|| format!("step `{name}`"))?;
    eprintln!("== {name}: ok in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
