//! Files that only this node may have written: opened without following links, replaced whole or not at all.
//!
//! A folder that others can write to is refused, since whoever can replace the node's key can vouch for anything.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::OFlags;

/// How the name of a file ends that is being written.
pub(crate) const PART: &str = ".part";

const GROUP_AND_OTHERS: u32 = 0o077;
const WRITE_BY_OTHERS: u32 = 0o022;

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

/// Makes a folder that its owner alone can enter, unless it is there; one that others can write to is refused.
pub(crate) fn ensure_folder(path: &Path) -> std::result::Result<(), StateError> {
    let wrong = |error: Error| StateError::new(path, error);
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(wrong)?;
    let mode = std::fs::metadata(path).map_err(wrong)?.permissions().mode();
    if mode & WRITE_BY_OTHERS == 0 {
        return Ok(());
    }
    let mode = mode & 0o7777;
    let fix = path.display();
    Err(StateError::new(path, format!("its mode is {mode:04o}, so others can write to it: run `chmod go-w {fix}`")))
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

/// Says what is wrong with the owner or the mode of a secret file in `folder`.
pub(crate) fn check_secret(file: &File, folder: &Path) -> Result<()> {
    let (metadata, folder) = (file.metadata()?, std::fs::metadata(folder)?);
    let mode = metadata.permissions().mode();
    if mode & GROUP_AND_OTHERS != 0 {
        let mode = mode & 0o7777;
        let words = format!("its mode is {mode:04o}, so others than its owner can use it: run `chmod 600` on it");
        return Err(Error::new(ErrorKind::PermissionDenied, words));
    }
    if metadata.uid() != folder.uid() {
        return Err(Error::new(ErrorKind::PermissionDenied, "it belongs to another user than its folder"));
    }
    Ok(())
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
        check_secret(&open(&secret).unwrap(), &state).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&secret, Permissions::from_mode(mode)).unwrap();
            assert!(check_secret(&open(&secret).unwrap(), &state).unwrap_err().to_string().contains("chmod"));
        }
        for mode in [0o770, 0o702] {
            std::fs::set_permissions(&state, Permissions::from_mode(mode)).unwrap();
            assert!(ensure_folder(&state).unwrap_err().to_string().contains("chmod go-w"));
        }
    }
}
