//! The folder that artefacts lie in: written whole, bounded, the oldest-used removed first.
//!
//! It neither knows nor trusts what is in the files.

use std::fs::DirEntry;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::ArtefactKey;
use crate::files::{self, PART, StateError};

const KIND: &str = ".artefact";
/// An artefact is several times as large as its component.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;
/// A folder with more files than this is not looked at any further.
const MAX_FILES: usize = 65_536;
/// A file that was not finished in this time never will be: its writer is gone.
const UNFINISHED: Duration = Duration::from_secs(3600);

/// A folder of artefacts.
pub(super) struct Shelf {
    folder: PathBuf,
    limit_bytes: u64,
    /// One clean-up at a time.
    tidying: Mutex<()>,
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
    /// Somebody is writing it: it takes room, and is not ours to remove.
    unfinished: bool,
}

impl Shelf {
    pub(super) fn open(folder: &Path, limit_bytes: u64) -> std::result::Result<Self, StateError> {
        files::ensure_folder(folder)?;
        let shelf = Self { folder: folder.to_path_buf(), limit_bytes, tidying: Mutex::new(()) };
        shelf.make_room(0, None).map_err(|error| StateError::new(folder, error))?;
        Ok(shelf)
    }

    /// The file under `key`, which now counts as used. None when there is none or it cannot be read.
    pub(super) fn read(&self, key: &ArtefactKey) -> Option<Vec<u8>> {
        let path = self.path(key);
        let read = files::open(&path).and_then(|file| {
            let bytes = files::read(&file, MAX_FILE_BYTES)?;
            // A read-only folder is no reason not to use what is in it.
            let _ = file.set_modified(SystemTime::now());
            Ok(bytes)
        });
        match read {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(artefact = %path.display(), %error, "a compiled plugin could not be read");
                None
            }
        }
    }

    /// Writes the file under `key`, after making room for it.
    pub(super) fn write(&self, key: &ArtefactKey, contents: &[u8]) -> Result<()> {
        let bytes = contents.len() as u64;
        let most = self.limit_bytes.min(MAX_FILE_BYTES);
        if bytes > most {
            return Err(Error::new(ErrorKind::StorageFull, format!("has {bytes} bytes, more than {most}")));
        }
        let path = self.path(key);
        self.make_room(bytes, Some(&path))?;
        // A folder or a link that stands in the way is not ours; `rename` replaces the link itself.
        if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir(&path)?;
        }
        files::replace(&path, &[contents])
    }

    /// Removes what was not used for longest until `needed` more bytes fit, and what nobody will finish. Another process may
    /// be at it in the same folder.
    fn make_room(&self, needed: u64, replaced: Option<&Path>) -> Result<()> {
        let _alone = self.tidying.lock();
        let now = SystemTime::now();
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&self.folder)?.take(MAX_FILES) {
            kept.extend(look_at(&entry?, now));
        }
        kept.retain(|file| Some(file.path.as_path()) != replaced);
        kept.sort_by_key(|file| file.used);
        let mut bytes: u64 = kept.iter().map(|file| file.bytes).sum();
        for file in kept.into_iter().filter(|file| !file.unfinished) {
            if bytes.saturating_add(needed) <= self.limit_bytes {
                break;
            }
            match std::fs::remove_file(&file.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => bytes -= file.bytes,
            }
        }
        Ok(())
    }

    fn path(&self, key: &ArtefactKey) -> PathBuf {
        self.folder.join(format!("{}{KIND}", key.name()))
    }
}

/// An artefact, if the entry is one. Removes what was never finished. A file may go while it is looked at.
fn look_at(entry: &DirEntry, now: SystemTime) -> Option<Kept> {
    let name = entry.file_name();
    let name = name.to_str()?;
    let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let used = metadata.modified().ok()?;
    let unfinished = name.ends_with(PART);
    if unfinished && now.duration_since(used).is_ok_and(|age| age > UNFINISHED) {
        let _ = std::fs::remove_file(entry.path());
        return None;
    }
    let counts = name.ends_with(KIND) || unfinished;
    counts.then(|| Kept { path: entry.path(), bytes: metadata.len(), used, unfinished })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn age(path: &Path, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn the_oldest_used_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path(), 30).unwrap();
        let keys: Vec<_> = (0..4).map(ArtefactKey::for_tests).collect();
        let [a, b, c, d] = keys.as_slice() else { unreachable!("four") };
        for (key, seconds) in [(a, 300), (b, 200), (c, 100)] {
            shelf.write(key, &[0; 10]).unwrap();
            age(&shelf.path(key), seconds);
        }
        assert!(shelf.read(a).is_some(), "and is the youngest now");
        shelf.write(d, &[0; 10]).unwrap();
        assert!(shelf.read(b).is_none());
        assert!([a, c, d].into_iter().all(|key| shelf.read(key).is_some()));
        // In its own place it needs no other's.
        shelf.write(d, &[1; 10]).unwrap();
        assert_eq!(names(folder.path()).len(), 3);
        // A smaller limit holds from the start.
        drop(Shelf::open(folder.path(), 10).unwrap());
        assert_eq!(names(folder.path()).len(), 1);
    }

    #[test]
    fn what_is_larger_than_everything_is_not_written_and_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path(), 30).unwrap();
        shelf.write(&ArtefactKey::for_tests(1), &[0; 10]).unwrap();
        assert_eq!(shelf.write(&ArtefactKey::for_tests(2), &[0; 31]).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(names(folder.path()).len(), 1);
    }

    #[test]
    fn unfinished_files_go_and_files_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["old.artefact.1.part", "new.artefact.2.part", "notes.txt"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        age(&folder.path().join("old.artefact.1.part"), 7200);
        age(&folder.path().join("notes.txt"), 7200);
        let _shelf = Shelf::open(folder.path(), 1).unwrap();
        assert_eq!(names(folder.path()), ["new.artefact.2.part", "notes.txt"]);
    }

    #[test]
    fn what_stands_in_the_way_is_replaced_and_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(elsewhere.path(), "theirs").unwrap();
        let shelf = Shelf::open(folder.path(), 100).unwrap();
        let (link, directory) = (ArtefactKey::for_tests(1), ArtefactKey::for_tests(2));
        std::os::unix::fs::symlink(elsewhere.path(), shelf.path(&link)).unwrap();
        std::fs::create_dir(shelf.path(&directory)).unwrap();
        for key in [&link, &directory] {
            assert!(shelf.read(key).is_none());
            shelf.write(key, b"ours").unwrap();
            assert_eq!(shelf.read(key).unwrap(), b"ours");
        }
        assert_eq!(std::fs::read(elsewhere.path()).unwrap(), b"theirs");
    }

    #[test]
    fn two_processes_tidy_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        // A shelf for each: nothing but the folder is common to them.
        let shelves: Vec<_> = (0..4).map(|_| Shelf::open(folder.path(), 60).unwrap()).collect();
        std::thread::scope(|scope| {
            for (writer, shelf) in shelves.iter().enumerate() {
                scope.spawn(move || {
                    for number in 0..50 {
                        let key = ArtefactKey::for_tests(u8::try_from(writer * 50 + number).unwrap());
                        shelf.write(&key, &[0; 10]).unwrap();
                    }
                });
            }
        });
        drop(Shelf::open(folder.path(), 60).unwrap());
        assert!(names(folder.path()).len() <= 6);
    }
}
