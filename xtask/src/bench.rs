//! `cargo xtask bench`: prepare everything in release, then hand over to the benchmark program (`xtask/bench`).

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{Workspace, assets, command};

/// `args` go to the benchmark program, which takes this process's place.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    assets::ensure()?;
    assets::ensure_peers(workspace)?;
    let build = ["build", "--release", "--workspace", "--features", "xtask/bench"];
    // The example measures the plugin host alone.
    let programs = ["--bin", "forebay", "--bin", "forebay-bench", "--example", "policy-cost"];
    command::run(command::cargo(workspace).args(build).args(programs))?;
    let mut bench = Command::new(workspace.built("release", "forebay-bench"));
    bench.current_dir(workspace.root()).args(args);
    Err(bench.exec()).with_context(|| format!("could not start `{}`", command::shown(&bench)))
}
