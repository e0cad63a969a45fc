//! What tests of the authors' tools need beside them: Node.js with npm, and a Cargo that builds for WebAssembly.
//!
//! Authors have these, or are told by `forebay plugin build` how to get them. A test on a bare machine gets them here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::ensure_set;
use super::pins::Set;
use super::toolchain::Toolchain;
use crate::{Workspace, command};

const PROBE_LIMIT: Duration = Duration::from_secs(30);
/// The oldest Node.js that the JavaScript toolchain runs on.
const NODE_MAJOR: u32 = 20;

/// Programs and settings for an author's commands.
#[derive(Debug, Clone)]
pub struct Authoring {
    /// `PATH` with `node` in it.
    pub path: OsString,
    /// The words that run npm.
    pub npm: Vec<OsString>,
    /// Variables under which `forebay plugin build` builds a plugin in Rust.
    pub rust: Vec<(&'static str, OsString)>,
    /// Where that puts what it built: the guests' folder, so that a standard library from source is built once.
    pub rust_target: PathBuf,
}

/// Makes sure that all of it is present.
///
/// # Errors
/// When something cannot be had, with what to do about it.
pub fn ensure() -> Result<Authoring> {
    let workspace = Workspace::locate()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let (path, npm) = if has_node() {
        (path, vec!["npm".into()])
    } else {
        let node = ensure_set(&workspace, Set::Authoring, workspace.authoring_dir())?.join("node");
        let bin = node.join("bin");
        let npm = vec![bin.join("node").into(), node.join("npm/bin/npm-cli.js").into()];
        (before(&bin, &path)?, npm)
    };
    let rust = Toolchain::choose(&workspace)?.environment(&workspace)?;
    Ok(Authoring { path, npm, rust, rust_target: workspace.guests_dir() })
}

fn before(folder: &Path, path: &OsString) -> Result<OsString> {
    let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(path));
    std::env::join_paths(folders).context("PATH cannot have this folder in it")
}

fn has_node() -> bool {
    let version = |program: &str| command::capture_ok(Command::new(program).arg("--version"), PROBE_LIMIT).ok();
    let node = version("node").is_some_and(|said| is_recent(&said.stdout));
    node && version("npm").is_some()
}

/// Whether `v22.1.0` is new enough.
fn is_recent(version: &str) -> bool {
    let major = version.trim().trim_start_matches('v').split('.').next();
    major.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= NODE_MAJOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_recent("v20.0.1\n") && is_recent("v100.2.3"));
        assert!(!is_recent("v18.20.0") && !is_recent("v9.9.9") && !is_recent("") && !is_recent("node"));
    }
}
