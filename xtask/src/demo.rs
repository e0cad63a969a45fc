//! `cargo xtask demo`: prepare, build, and become `forebay demo`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{Workspace, assets, command};

/// Does not return on success: the demo takes this process's place, so that signals and the exit code are its own.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let assets = assets::ensure()?;
    // The whole workspace is selected so that dependencies get the features they have under test, and are built once.
    command::run(command::cargo(workspace).args(["build", "--workspace", "--bin", "forebay"]))?;
    let mut demo = Command::new(workspace.built("debug", "forebay"));
    demo.current_dir(workspace.root()).arg("demo");
    demo.arg("--assets").arg(assets).arg("--state").arg(workspace.demo_dir()).args(args);
    Err(demo.exec()).with_context(|| format!("could not start `{}`", command::shown(&demo)))
}
