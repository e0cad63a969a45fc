//! What a node remembers over restarts: small documents in its own folder.
//!
//! Each is authenticated with the node's key. One that somebody changed is refused, not forgotten: forgetting is what such
//! a change would be for. Removing the file is the operator's way to forget. Several processes may share the folder. What
//! a document says is its owner's to know.

use std::io::ErrorKind;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use ring::hmac;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files::{self, StateError};
use crate::node_key::NodeKey;
use crate::signature::{hex, sha256_from_hex};

const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// One document. The same state must always have the same JSON: its maps are ordered.
pub struct StateFile<T> {
    path: PathBuf,
    key: hmac::Key,
    kind: PhantomData<fn() -> T>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<T> {
    state: T,
    mac: String,
}

impl<T: Serialize + DeserializeOwned + Clone + Default + PartialEq> StateFile<T> {
    /// The document `{name}.json` in `folder`. Nothing is read yet.
    #[must_use]
    pub fn new(folder: &Path, name: &str, node: &NodeKey) -> Self {
        let key = node.derive(&format!("forebay/policy/{name}/v1"));
        Self { path: folder.join(format!("{name}.json")), key, kind: PhantomData }
    }

    /// What it says; without a file, the default.
    ///
    /// # Errors
    /// The file cannot be read, or this node did not write it.
    pub fn read(&self) -> Result<T, StateError> {
        let text = match files::open(&self.path).and_then(|file| files::read(&file, MAX_FILE_BYTES as u64)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(T::default()),
            Err(error) => return Err(self.wrong(error)),
            Ok(text) => text,
        };
        let foreign = || self.wrong("this node did not write it; remove it, and what it held is forgotten");
        let form: Form<T> = serde_json::from_slice(&text).map_err(|_| foreign())?;
        let tag = sha256_from_hex(&form.mac).ok_or_else(foreign)?;
        hmac::verify(&self.key, &self.canonical(&form.state)?, &tag).map_err(|_| foreign())?;
        Ok(form.state)
    }

    /// Changes what it says, and gives what it says now. Others that do so wait meanwhile, in other processes too. Blocks
    /// until it is on the disk.
    ///
    /// # Errors
    /// `change` gives up, or the file cannot be read or written; it says what it said before.
    pub fn update(&self, change: impl FnOnce(&mut T) -> Result<(), String>) -> Result<T, StateError> {
        let _alone = files::lock(&self.path.with_extension("lock")).map_err(|error| self.wrong(error))?;
        let before = self.read()?;
        let mut state = before.clone();
        change(&mut state).map_err(|reason| self.wrong(reason))?;
        if state != before {
            self.write(&state)?;
        }
        Ok(state)
    }

    fn write(&self, state: &T) -> Result<(), StateError> {
        let mac = hex(hmac::sign(&self.key, &self.canonical(state)?).as_ref());
        let text = serde_json::to_vec_pretty(&Form { state, mac }).map_err(|error| self.wrong(error))?;
        if text.len() > MAX_FILE_BYTES {
            return Err(self.wrong(format!("would have more than {MAX_FILE_BYTES} bytes")));
        }
        files::replace(&self.path, &[&text]).map_err(|error| self.wrong(error))
    }

    fn canonical(&self, state: &T) -> Result<Vec<u8>, StateError> {
        serde_json::to_vec(state).map_err(|error| self.wrong(error))
    }

    fn wrong(&self, reason: impl ToString) -> StateError {
        StateError::new(&self.path, reason)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    type Counts = BTreeMap<String, u32>;

    fn file(folder: &Path, name: &str) -> StateFile<Counts> {
        StateFile::new(folder, name, &NodeKey::ensure(folder).unwrap())
    }

    fn add(file: &StateFile<Counts>, name: &str) {
        file.update(|counts| {
            *counts.entry(name.to_owned()).or_default() += 1;
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_file_that_another_wrote_is_refused_and_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let counts = file(folder.path(), "counts");
        assert_eq!(counts.read().unwrap(), Counts::new());
        add(&counts, "a");
        let path = folder.path().join("counts.json");
        let text = std::fs::read_to_string(&path).unwrap();
        for changed in ["", "{}", "null", &text.replace(": 1", ": 2"), &text.replace("\"a\"", "\"b\"")] {
            std::fs::write(&path, changed).unwrap();
            assert!(counts.read().unwrap_err().to_string().contains("remove it"));
            counts.update(|_| Ok(())).unwrap_err();
        }
        // Nor is one document taken for another.
        std::fs::write(folder.path().join("other.json"), &text).unwrap();
        file(folder.path(), "other").read().unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(counts.read().unwrap(), Counts::new());
    }

    #[test]
    fn whoever_gives_up_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let counts = file(folder.path(), "counts");
        add(&counts, "a");
        counts
            .update(|counts| {
                counts.clear();
                Err("no".to_owned())
            })
            .unwrap_err();
        assert_eq!(counts.read().unwrap(), Counts::from([("a".to_owned(), 1)]));
    }

    #[test]
    fn no_change_is_lost_among_processes_that_share_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..4).map(|_| file(folder.path(), "counts")).collect();
        std::thread::scope(|scope| {
            for file in &files {
                scope.spawn(move || (0..10).for_each(|_| add(file, "a")));
            }
        });
        assert_eq!(files.first().unwrap().read().unwrap(), Counts::from([("a".to_owned(), 40)]));
    }
}
