//! The version of every plugin that this node served last, so that a signed but outdated one does not come back.
//!
//! The file is authenticated with the node's key. One that somebody changed is refused, not forgotten: forgetting is what
//! such a change would be for. Removing the file is the operator's way to forget.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use ring::hmac;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::file::sha256_from_hex;
use super::{SignatureError, hex};
use crate::files::{self, StateError};
use crate::node_key::NodeKey;

const FILE: &str = "plugin-versions.json";
const PURPOSE: &str = "forebay/policy/versions/v1";
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// More plugins than any node has.
const MAX_PLUGINS: usize = 10_000;

/// What was served, in memory and in a file.
pub struct VersionMemory {
    path: PathBuf,
    key: hmac::Key,
    served: Mutex<BTreeMap<String, Version>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    served: BTreeMap<String, Version>,
    mac: String,
}

impl VersionMemory {
    /// Reads the memory in `folder`; without a file nothing was served yet.
    ///
    /// # Errors
    /// The file cannot be read, or this node did not write it.
    pub fn open(folder: &Path, node: &NodeKey) -> Result<Self, StateError> {
        let (path, key) = (folder.join(FILE), node.derive(PURPOSE));
        let served = read(&path, &key)?;
        Ok(Self { path, key, served: Mutex::new(served) })
    }

    /// Whether `version` of the plugin `name` may be served after what was served before.
    ///
    /// # Errors
    /// [`SignatureError::Downgrade`]
    pub fn check(&self, name: &str, version: &Version) -> Result<(), SignatureError> {
        match self.served.lock().get(name) {
            Some(served) if version.cmp_precedence(served).is_lt() => {
                Err(SignatureError::Downgrade { served: served.clone(), version: version.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Notes what is served from now on: a version that was allowed to go back is the one to compare with afterwards.
    ///
    /// # Errors
    /// The file cannot be written. The node remembers all the same, until it ends.
    pub fn note<'n>(&self, serving: impl IntoIterator<Item = (&'n str, &'n Version)>) -> Result<(), StateError> {
        let mut served = self.served.lock();
        let before = served.clone();
        for (name, version) in serving {
            if served.len() >= MAX_PLUGINS && !served.contains_key(name) {
                return Err(StateError::new(&self.path, format!("has no room for more than {MAX_PLUGINS} plugins")));
            }
            served.insert(name.to_owned(), version.clone());
        }
        if *served == before {
            return Ok(());
        }
        let tag = hmac::sign(&self.key, &canonical(&served));
        let file = File { served: served.clone(), mac: hex(tag.as_ref()) };
        let wrong = |reason: String| StateError::new(&self.path, reason);
        let text = serde_json::to_vec_pretty(&file).map_err(|error| wrong(error.to_string()))?;
        files::replace(&self.path, &[&text]).map_err(|error| wrong(error.to_string()))
    }
}

fn read(path: &Path, key: &hmac::Key) -> Result<BTreeMap<String, Version>, StateError> {
    let wrong = |reason: String| StateError::new(path, reason);
    let text = match files::open(path).and_then(|file| files::read(&file, MAX_FILE_BYTES)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(wrong(error.to_string())),
        Ok(text) => text,
    };
    let foreign = || wrong("this node did not write it; remove it to forget which versions were served".to_owned());
    let file: File = serde_json::from_slice(&text).map_err(|_| foreign())?;
    let tag = sha256_from_hex(&file.mac).ok_or_else(foreign)?;
    hmac::verify(key, &canonical(&file.served), &tag).map_err(|_| foreign())?;
    Ok(file.served)
}

/// Every name and version behind its length.
fn canonical(served: &BTreeMap<String, Version>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, version) in served {
        for field in [name.as_str(), &version.to_string()] {
            bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
            bytes.extend_from_slice(field.as_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn note(memory: &VersionMemory, name: &str, text: &str) {
        memory.note([(name, &version(text))]).unwrap();
    }

    #[test]
    fn versions_do_not_go_back_over_restarts_unless_told() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeKey::ensure(folder.path()).unwrap();
        let open = || VersionMemory::open(folder.path(), &node).unwrap();
        let memory = open();
        memory.check("access", &version("0.0.1")).unwrap();
        note(&memory, "access", "1.10.0");
        let memory = open();
        for later in ["1.10.0", "1.10.1", "2.0.0-rc.1"] {
            memory.check("access", &version(later)).unwrap();
        }
        for earlier in ["1.9.0", "1.10.0-rc.1", "0.99.0"] {
            let error = memory.check("access", &version(earlier)).unwrap_err();
            assert!(matches!(error, SignatureError::Downgrade { .. }), "{error}");
        }
        memory.check("seal", &version("0.1.0")).unwrap();
        // Going back was allowed: now that version counts.
        note(&memory, "access", "1.9.0");
        note(&memory, "seal", "0.1.0");
        let memory = open();
        memory.check("access", &version("1.9.0")).unwrap();
        memory.check("access", &version("1.8.0")).unwrap_err();
    }

    #[test]
    fn a_file_that_another_wrote_is_refused_and_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeKey::ensure(folder.path()).unwrap();
        note(&VersionMemory::open(folder.path(), &node).unwrap(), "a", "1.0.0");
        let path = folder.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        for changed in ["", "{}", "null", &text.replace("1.0.0", "0.9.0"), &text.replace("\"a\"", "\"b\"")] {
            std::fs::write(&path, changed).unwrap();
            let error = VersionMemory::open(folder.path(), &node).err().unwrap();
            assert!(error.to_string().contains("remove it"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        VersionMemory::open(folder.path(), &node).unwrap();
    }
}
