//! `cargo deny`: licences, sources and bans always; advisories where their database can be had.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::{Workspace, assets, command};

const FETCH_LIMIT: Duration = Duration::from_mins(1);

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let deny = assets::ensure_tools(workspace)?.join("cargo-deny");
    command::run(in_tree(workspace, &deny).args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    let mut fetch = in_tree(workspace, &deny);
    let fetched = command::capture(fetch.args(["fetch", "db"]), FETCH_LIMIT);
    if !fetched.is_ok_and(|fetched| fetched.status.success()) {
        println!("advisories skipped: advisory database unreachable");
        return Ok(());
    }
    command::run(in_tree(workspace, &deny).args(["check", "--disable-fetch", "advisories"]))
}

fn in_tree(workspace: &Workspace, deny: &Path) -> Command {
    let mut command = Command::new(deny);
    command.current_dir(workspace.root());
    command
}
