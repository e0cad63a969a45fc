//! The `model.toml` (and any small file beside it) that this tree keeps for each fetched model.

use std::path::Path;

use anyhow::Result;

use crate::{Workspace, files};

/// Copies what differs; returns how many files it wrote.
pub(super) fn copy(workspace: &Workspace, assets: &Path) -> Result<usize> {
    let source = workspace.root().join("runtime/inference/models");
    let mut written = 0;
    for model in entries(&source)? {
        for file in entries(&model.path())?.into_iter().filter(|file| file.path().is_file()) {
            let target = assets.join("models").join(model.file_name()).join(file.file_name());
            written += usize::from(files::write_if_different(&target, &std::fs::read(file.path())?)?);
        }
    }
    Ok(written)
}

fn entries(folder: &Path) -> Result<Vec<std::fs::DirEntry>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    Ok(std::fs::read_dir(folder)?.collect::<Result<_, _>>()?)
}
