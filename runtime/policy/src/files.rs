//! Files that only this node may have written: opened without following links, replaced whole or not at all.
//!
//! A folder that others own or can write to is refused, and so is one that others can put something else in the place of:
//! whoever can replace the node's key can vouch for anything.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::OFlags;
use rustix::process::geteuid;

/// How the name of a file ends that is being written.
pub(crate) const PART: &str = ".part";

/// A lock is held for one small file's reading and writing.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

const GROUP_AND_OTHERS: u32 = 0o077;
const WRITE_BY_OTHERS: u32 = 0o022;
/// In such a folder nobody removes or renames what belongs to somebody else.
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// The node's own state cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct StateError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl StateError {
    #[allow(clippy::needless_pass_by_value)]
    pub(crate) fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.to_path_buf(), reason: reason.to_string() }
    }
}

/// Whom a file or a folder belongs to, and who may use it.
#[derive(Clone, Copy)]
struct Access {
    uid: u32,
    mode: u32,
}

impl Access {
    fn of(metadata: &Metadata) -> Self {
        Self { uid: metadata.uid(), mode: metadata.mode() & 0o7777 }
    }

    /// What is wrong with its owner, for a process of the user `me`.
    fn check_owner(self, me: u32) -> std::result::Result<(), String> {
        if self.uid == me || self.uid == ROOT {
            return Ok(());
        }
        let uid = self.uid;
        Err(format!("it belongs to the user {uid}, and this process runs as the user {me}: run `chown {me}` on it"))
    }

    /// What is wrong with the node's own folder.
    fn check_folder(self, me: u32) -> std::result::Result<(), String> {
        self.check_owner(me)?;
        let mode = self.mode;
        if mode & WRITE_BY_OTHERS == 0 {
            return Ok(());
        }
        Err(format!("its mode is {mode:04o}, so others can write to it: run `chmod go-w` on it"))
    }

    /// What is wrong with a folder above it.
    fn check_above(self, me: u32) -> std::result::Result<(), String> {
        self.check_owner(me)?;
        let mode = self.mode;
        if mode & WRITE_BY_OTHERS == 0 || mode & STICKY != 0 {
            return Ok(());
        }
        Err(format!(
            "its mode is {mode:04o}, so others can put another folder in the place of the state folder: run \
             `chmod go-w` or `chmod +t` on it"
        ))
    }

    /// What is wrong with a secret file.
    fn check_secret(self, me: u32) -> std::result::Result<(), String> {
        let mode = self.mode;
        if mode & GROUP_AND_OTHERS != 0 {
            return Err(format!("its mode is {mode:04o}, so others than its owner can use it: run `chmod 600` on it"));
        }
        self.check_owner(me)
    }
}

/// Makes a folder that its owner alone can enter, unless it is there; one that others own, can write to or can replace is
/// refused.
pub(crate) fn ensure_folder(path: &Path) -> std::result::Result<(), StateError> {
    let wrong = |error: Error| StateError::new(path, error);
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(wrong)?;
    let me = geteuid().as_raw();
    // Both ways to it: the links by which it is named, and the folders that they lead to.
    for way in [std::path::absolute(path).map_err(wrong)?, std::fs::canonicalize(path).map_err(wrong)?] {
        for above in way.ancestors().skip(1) {
            check_above(above, me)?;
        }
    }
    check_link(path, me)?;
    Access::of(&std::fs::metadata(path).map_err(wrong)?)
        .check_folder(me)
        .map_err(|reason| StateError::new(path, reason))
}

fn check_above(folder: &Path, me: u32) -> std::result::Result<(), StateError> {
    check_link(folder, me)?;
    let metadata = std::fs::metadata(folder).map_err(|error| StateError::new(folder, error))?;
    Access::of(&metadata).check_above(me).map_err(|reason| StateError::new(folder, reason))
}

/// Who owns a link says where it leads.
fn check_link(path: &Path, me: u32) -> std::result::Result<(), StateError> {
    let metadata = std::fs::symlink_metadata(path).map_err(|error| StateError::new(path, error))?;
    if !metadata.is_symlink() {
        return Ok(());
    }
    Access::of(&metadata).check_owner(me).map_err(|reason| StateError::new(path, reason))
}

/// Opens a regular file: no link, no pipe that would wait for a writer.
pub(crate) fn open(path: &Path) -> Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(Error::new(ErrorKind::InvalidInput, "not a regular file")) }
}

/// Reads a file of at most `most` bytes.
pub(crate) fn read(file: &File, most: u64) -> Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > most {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("has {length} bytes, more than {most}")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says what is wrong with the owner or the mode of a secret file.
pub(crate) fn check_secret(file: &File) -> Result<()> {
    let checked = Access::of(&file.metadata()?).check_secret(geteuid().as_raw());
    checked.map_err(|reason| Error::new(ErrorKind::PermissionDenied, reason))
}

/// Waits until no other process has the lock in the file at `path`, which is made where it is not there. The lock is held
/// as long as the file is.
///
/// # Errors
/// Somebody has held it for [`LOCK_WAIT`], or there are no locks here.
#[expect(
    clippy::disallowed_methods,
    reason = "a lock of another process wakes nobody; callers may block, and it is bounded"
)]
pub(crate) fn lock(path: &Path) -> Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                return Err(Error::new(ErrorKind::TimedOut, "another process has held its lock for too long"));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
        }
    }
}

/// Writes a new file that its owner alone can read; gives up if there is one. It is never seen half written.
pub(crate) fn create(path: &Path, contents: &[u8]) -> Result<()> {
    let part = write_part(path, &[contents])?;
    let linked = std::fs::hard_link(&part, path);
    let removed = std::fs::remove_file(&part);
    linked?;
    removed?;
    sync_folder(path)
}

/// Puts a file in the place of whatever is there, with `parts` one after the other; a reader sees the old one or the
/// new one, also after a power cut.
pub(crate) fn replace(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let part = write_part(path, parts)?;
    if let Err(error) = std::fs::rename(&part, path) {
        let _ = std::fs::remove_file(&part);
        return Err(error);
    }
    sync_folder(path)
}

fn write_part(path: &Path, parts: &[&[u8]]) -> Result<PathBuf> {
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).map_err(|_| Error::other("no randomness"))?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{:016x}{PART}", u64::from_le_bytes(random)));
    let part = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    let written = parts.iter().try_for_each(|bytes| file.write_all(bytes)).and_then(|()| file.sync_all());
    match written {
        Ok(()) => Ok(part),
        Err(error) => {
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
}

/// A name is kept when its folder is.
fn sync_folder(path: &Path) -> Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_created_once_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        create(&path, b"first").unwrap();
        assert_eq!(create(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        replace(&path, &[b"thi", b"rd"]).unwrap();
        assert_eq!(read(&open(&path).unwrap(), 5).unwrap(), b"third");
        assert!(read(&open(&path).unwrap(), 4).is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "parts are left");
    }

    #[test]
    fn links_and_folders_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        create(&path, b"x").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open(&link).is_err());
        assert!(open(folder.path()).is_err());
    }

    #[test]
    fn folders_and_secrets_that_others_can_use_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/b");
        ensure_folder(&state).unwrap();
        assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        let secret = state.join("secret");
        create(&secret, b"x").unwrap();
        check_secret(&open(&secret).unwrap()).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&secret, Permissions::from_mode(mode)).unwrap();
            assert!(check_secret(&open(&secret).unwrap()).unwrap_err().to_string().contains("chmod"));
        }
        for mode in [0o770, 0o702] {
            std::fs::set_permissions(&state, Permissions::from_mode(mode)).unwrap();
            assert!(ensure_folder(&state).unwrap_err().to_string().contains("chmod go-w"));
        }
    }

    #[test]
    fn folders_above_are_those_of_the_user_and_nobody_else_can_put_another_there() {
        let folder = tempfile::tempdir().unwrap();
        let (above, state) = (folder.path().join("above"), folder.path().join("above/state"));
        ensure_folder(&state).unwrap();
        for (mode, good) in [(0o777, false), (0o770, false), (0o1777, true), (0o755, true)] {
            std::fs::set_permissions(&above, Permissions::from_mode(mode)).unwrap();
            let checked = ensure_folder(&state);
            assert_eq!(checked.is_ok(), good, "{mode:o}: {checked:?}");
            assert!(checked.err().is_none_or(|error| error.path == above && error.reason.contains("chmod +t")));
        }
        // Neither does a link lead around what is checked.
        std::fs::set_permissions(&above, Permissions::from_mode(0o777)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&state, &link).unwrap();
        ensure_folder(&link).unwrap_err();
        let (inside, elsewhere) = (above.join("link"), folder.path().join("elsewhere"));
        ensure_folder(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &inside).unwrap();
        ensure_folder(&inside).unwrap_err();
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused_whatever_its_mode() {
        let access = |uid, mode| Access { uid, mode };
        for (me, uid, good) in
            [(1000, 1000, true), (1000, 0, true), (1000, 1001, false), (0, 0, true), (0, 1000, false)]
        {
            let all = [
                access(uid, 0o700).check_folder(me),
                access(uid, 0o1777).check_above(me),
                access(uid, 0o600).check_secret(me),
                access(uid, 0o777).check_owner(me),
            ];
            for checked in all {
                assert_eq!(checked.is_ok(), good, "{me} and what {uid} has: {checked:?}");
                assert!(checked.err().is_none_or(|reason| reason.contains(&format!("chown {me}"))));
            }
        }
        assert!(access(1, 0o1777).check_folder(1).is_err(), "a sticky folder takes new files from anybody");
    }

    #[test]
    fn a_lock_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = lock(&path).unwrap();
        let again = File::options().write(true).open(&path).unwrap();
        assert!(again.try_lock().is_err());
        drop(first);
        drop(lock(&path).unwrap());
    }
}
