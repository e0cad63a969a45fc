//! Assets: what Forebay needs at run time and does not carry in its source.
//!
//! The ONNX Runtime library and the models come out of pinned wheels, the policy plugins are built from this tree.
//! All of it lands under `target/assets`; a second run finds it there and does nothing.

pub mod authoring;
mod component;
mod filter;
mod guests;
mod pins;
mod settings;
mod toolchain;
mod wheel;

use std::path::PathBuf;

use anyhow::Result;
use pins::{Pins, Set};

use crate::{Workspace, files};

/// Makes sure that every asset is present and current, and returns their folder.
///
/// Safe to call from several processes at once. Needs no network once everything is present.
///
/// # Errors
/// When a download, a digest or a plugin's build fails, with what to do about it.
pub fn ensure() -> Result<PathBuf> {
    let workspace = Workspace::locate()?;
    let folder = workspace.assets_dir();
    let _lock = files::lock(&folder)?;
    let fetched = wheel::ensure(&Pins::of(&workspace, Set::Assets)?, &folder)?;
    let copied = settings::copy(&workspace, &folder)?;
    let built = guests::ensure(&workspace, &folder.join("plugins"))?;
    if fetched + copied + built == 0 {
        eprintln!("assets: up to date");
    } else {
        eprintln!("assets: {fetched} fetched, {copied} settings copied, {built} plugins built");
    }
    Ok(folder)
}

/// Makes sure that the tools which checks run are present, and returns their folder.
pub(crate) fn ensure_tools(workspace: &Workspace) -> Result<PathBuf> {
    ensure_set(workspace, Set::Tools, workspace.tools_dir())
}

/// Makes sure that the peers which come from wheels are present, and the filter that one of them runs.
pub(crate) fn ensure_peers(workspace: &Workspace) -> Result<()> {
    let folder = ensure_set(workspace, Set::Peers, workspace.peers_dir())?;
    let _lock = files::lock(&folder)?;
    filter::ensure(workspace)
}

fn ensure_set(workspace: &Workspace, set: Set, folder: PathBuf) -> Result<PathBuf> {
    let _lock = files::lock(&folder)?;
    wheel::ensure(&Pins::of(workspace, set)?, &folder)?;
    Ok(folder)
}
