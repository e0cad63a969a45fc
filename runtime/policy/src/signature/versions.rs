//! The highest version of every plugin that this node served, so that a signed but outdated one does not come back.
//!
//! What serves again since its successor failed lowers nothing: only an operator does, by saying that a version may go
//! back. Several processes may share the memory; what one of them served counts for all.

use std::collections::BTreeMap;
use std::path::Path;

use parking_lot::Mutex;
use semver::Version;

use super::SignatureError;
use crate::files::StateError;
use crate::node_key::NodeKey;
use crate::state_file::StateFile;

const NAME: &str = "plugin-versions";
/// More plugins than any node has.
const MAX_PLUGINS: usize = 10_000;

type Versions = BTreeMap<String, Version>;

/// What was served, in memory and in a file.
pub struct VersionMemory {
    file: StateFile<Versions>,
    served: Mutex<Versions>,
}

/// A version that is served from now on.
#[derive(Clone, Copy, Debug)]
pub struct Served<'n> {
    /// The plugin.
    pub name: &'n str,
    /// Its version.
    pub version: &'n Version,
    /// Whether an operator said that it may be lower than one before: then it is the one to compare with afterwards.
    pub may_go_back: bool,
}

impl VersionMemory {
    /// Reads the memory in `folder`; without a file nothing was served yet.
    ///
    /// # Errors
    /// The file cannot be read, or this node did not write it.
    pub fn open(folder: &Path, node: &NodeKey) -> Result<Self, StateError> {
        let file = StateFile::new(folder, NAME, node);
        let served = file.read()?;
        Ok(Self { file, served: Mutex::new(served) })
    }

    /// Whether `version` of the plugin `name` may be served after what was served before, by this process or another that
    /// shares the memory.
    ///
    /// # Errors
    /// [`SignatureError::Downgrade`]; [`SignatureError::NoMemory`] when the file cannot be believed any more.
    pub fn check(&self, name: &str, version: &Version) -> Result<(), SignatureError> {
        let kept = self.file.read().map_err(|error| SignatureError::NoMemory(error.to_string()))?;
        let mut served = self.served.lock();
        raise(&mut served, &kept);
        match served.get(name) {
            Some(served) if version.cmp_precedence(served).is_lt() => {
                Err(SignatureError::Downgrade { served: served.clone(), version: version.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Notes what is served from now on.
    ///
    /// # Errors
    /// The file cannot be written. The node remembers all the same, until it ends.
    pub fn note<'n>(&self, serving: impl IntoIterator<Item = Served<'n>>) -> Result<(), StateError> {
        let serving: Vec<Served<'n>> = serving.into_iter().collect();
        let mut served = self.served.lock();
        let before = served.clone();
        let noted = serving.iter().try_for_each(|one| note_one(&mut served, one));
        *served = self.file.update(|kept| {
            raise(kept, &before);
            serving.iter().try_for_each(|one| note_one(kept, one))?;
            noted
        })?;
        Ok(())
    }
}

fn note_one(versions: &mut Versions, one: &Served<'_>) -> Result<(), String> {
    match versions.get(one.name) {
        None if versions.len() >= MAX_PLUGINS => Err(format!("has no room for more than {MAX_PLUGINS} plugins")),
        Some(before) if !one.may_go_back && one.version.cmp_precedence(before).is_lt() => Ok(()),
        _ => {
            versions.insert(one.name.to_owned(), one.version.clone());
            Ok(())
        }
    }
}

/// Raises each version to that of `others`, where that is higher.
fn raise(versions: &mut Versions, others: &Versions) {
    for (name, other) in others {
        if versions.get(name).is_none_or(|version| version.cmp_precedence(other).is_lt()) {
            versions.insert(name.clone(), other.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn note(memory: &VersionMemory, name: &str, text: &str, may_go_back: bool) {
        memory.note([Served { name, version: &version(text), may_go_back }]).unwrap();
    }

    #[test]
    fn versions_do_not_go_back_over_restarts_unless_told() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeKey::ensure(folder.path()).unwrap();
        let open = || VersionMemory::open(folder.path(), &node).unwrap();
        let memory = open();
        memory.check("access", &version("0.0.1")).unwrap();
        note(&memory, "access", "1.10.0", false);
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
        note(&memory, "access", "1.9.0", true);
        note(&memory, "seal", "0.1.0", false);
        let memory = open();
        memory.check("access", &version("1.9.0")).unwrap();
        memory.check("access", &version("1.8.0")).unwrap_err();
    }

    #[test]
    fn what_is_put_back_without_being_told_lowers_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeKey::ensure(folder.path()).unwrap();
        let memory = VersionMemory::open(folder.path(), &node).unwrap();
        for served in ["1.0.0", "2.0.0", "1.0.0"] {
            note(&memory, "access", served, false);
        }
        for memory in [memory, VersionMemory::open(folder.path(), &node).unwrap()] {
            memory.check("access", &version("1.5.0")).unwrap_err();
            memory.check("access", &version("2.0.0")).unwrap();
        }
    }

    #[test]
    fn what_one_process_served_counts_for_another() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeKey::ensure(folder.path()).unwrap();
        let open = || VersionMemory::open(folder.path(), &node).unwrap();
        let (one, other) = (open(), open());
        note(&one, "a", "2.0.0", false);
        other.check("a", &version("1.9.0")).unwrap_err();
        note(&other, "a", "1.0.0", false);
        note(&other, "b", "1.0.0", false);
        note(&one, "c", "1.0.0", false);
        let memory = open();
        memory.check("a", &version("1.9.0")).unwrap_err();
        for name in ["b", "c"] {
            memory.check(name, &version("0.9.0")).unwrap_err();
        }
    }

    #[test]
    fn a_memory_that_somebody_changed_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeKey::ensure(folder.path()).unwrap();
        let memory = VersionMemory::open(folder.path(), &node).unwrap();
        note(&memory, "a", "1.0.0", false);
        let path = folder.path().join("plugin-versions.json");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("1.0.0", "0.9.0")).unwrap();
        assert!(VersionMemory::open(folder.path(), &node).is_err());
        assert!(matches!(memory.check("a", &version("1.0.0")), Err(SignatureError::NoMemory(_))));
        // A file that is gone is forgotten with the process that remembers it.
        std::fs::remove_file(&path).unwrap();
        memory.check("a", &version("0.9.0")).unwrap_err();
        VersionMemory::open(folder.path(), &node).unwrap().check("a", &version("0.9.0")).unwrap();
    }
}
