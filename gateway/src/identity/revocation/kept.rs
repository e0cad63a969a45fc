//! The told revocations on disk, where the node has a folder for its state: what was told then outlives the process.
//!
//! The file has the form of the operators' own (`tokens.revocations_file`). It is written whole, beside the present one
//! and then in its place, so that a crash leaves the one or the other.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Entry, Filed, List};
use crate::error::StartError;

/// Its name in the folder.
const NAME: &str = "revocations.jsonl";

/// Where the list is kept.
pub(super) struct Kept {
    file: PathBuf,
}

impl Kept {
    /// Opens the list in `folder`, which is made if it is missing; no file is an empty list.
    ///
    /// # Errors
    /// The folder cannot be made, or the list cannot be read. Starting without it would make revoked tokens good again.
    pub(super) fn open(folder: &Path) -> Result<(Self, List), StartError> {
        let file = folder.join(NAME);
        let failed = |reason: String| StartError::File {
            key: "policy.state_dir".into(),
            path: file.display().to_string(),
            reason,
        };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        let list = match file.try_exists() {
            Ok(false) => List::new(),
            Ok(true) => Filed::read(&file, |_| true).map_err(failed)?,
            Err(error) => return Err(failed(error.to_string())),
        };
        Ok((Self { file }, list))
    }

    /// Writes the list. Blocks until it is on the disk.
    pub(super) fn write(&self, list: &List) -> std::io::Result<()> {
        let mut entries: Vec<&Arc<Entry>> = list.values().collect();
        entries.sort();
        let mut text = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
        }
        let beside = self.file.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // It names people.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.file)
    }
}
