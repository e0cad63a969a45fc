//! Files that appear whole or not at all, their digests, and the lock that keeps two runs apart.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a file, in hex.
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let mut hasher = Sha256::new();
    copy_hashed(&mut file, &mut std::io::sink(), &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

fn copy_hashed(from: &mut dyn Read, to: &mut dyn Write, hasher: &mut Sha256) -> Result<u64> {
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    loop {
        let count = from.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
            return Ok(total);
        };
        hasher.update(chunk);
        to.write_all(chunk)?;
        total += chunk.len() as u64;
    }
}

/// What a file must turn out to be.
pub(crate) struct Expected<'a> {
    pub(crate) sha256: &'a str,
    pub(crate) size_bytes: u64,
    pub(crate) executable: bool,
}

/// Writes `from` to `path` under another name first, and renames it only once size and digest are right.
pub(crate) fn write_checked(path: &Path, from: &mut dyn Read, expected: &Expected<'_>) -> Result<()> {
    let mut file = temporary_beside(path)?;
    let mut hasher = Sha256::new();
    // One byte more than expected is enough to know that it is wrong.
    let size_bytes = copy_hashed(&mut from.take(expected.size_bytes + 1), &mut file, &mut hasher)?;
    let sha256 = hex(&hasher.finalize());
    if size_bytes != expected.size_bytes || sha256 != expected.sha256 {
        bail!(
            "{} should be {} bytes with SHA-256 {}, got {sha256}",
            path.display(),
            expected.size_bytes,
            expected.sha256
        );
    }
    persist(file, path, expected.executable)
}

/// Writes `bytes` to `path`, whole or not at all. Leaves the file alone if it holds them already; true if it wrote.
pub(crate) fn write_if_different(path: &Path, bytes: &[u8]) -> Result<bool> {
    if std::fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let mut file = temporary_beside(path)?;
    file.write_all(bytes)?;
    persist(file, path, false)?;
    Ok(true)
}

fn temporary_beside(path: &Path) -> Result<NamedTempFile> {
    let folder = path.parent().context("a file needs a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    NamedTempFile::new_in(folder).with_context(|| format!("could not write to {}", folder.display()))
}

fn persist(file: NamedTempFile, path: &Path, executable: bool) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if executable { 0o755 } else { 0o644 };
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.persist(path).with_context(|| format!("could not write {}", path.display()))?;
    Ok(())
}

/// A digest over the names and contents of everything under `paths` (files or folders), whatever the order on disk.
pub(crate) fn digest_of_trees(root: &Path, paths: &[PathBuf], recipe: &str) -> Result<String> {
    let mut files = Vec::new();
    for path in paths {
        list_files(&root.join(path), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    hasher.update(recipe);
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        hasher.update(format!("\n{} {}", sha256_of(&file)?, name.display()));
    }
    Ok(hex(&hasher.finalize()))
}

fn list_files(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
    } else if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_name() != "target" {
                list_files(&entry.path(), files)?;
            }
        }
    }
    Ok(())
}

/// Waits until no other run works in `folder`, and keeps others out until the file is dropped. What a run that was
/// killed left half written is removed.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    let path = folder.join(".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("assets: waiting for another run ({})", path.display());
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context(format!("could not lock {}", path.display())),
    }
    remove_leftovers(folder)?;
    Ok(file)
}

/// Removes what `tempfile` made and nobody renamed. Only for the holder of the lock.
fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_leftover = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp"));
        match (path.is_dir(), is_leftover) {
            (true, true) => std::fs::remove_dir_all(&path)?,
            (true, false) => remove_leftovers(&path)?,
            (false, true) => std::fs::remove_file(&path)?,
            (false, false) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn expected(sha256: &str, size_bytes: u64) -> Expected<'_> {
        Expected { sha256, size_bytes, executable: false }
    }

    #[test]
    fn a_wrong_file_never_appears() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file");
        assert!(write_checked(&path, &mut &b"abd"[..], &expected(ABC, 3)).is_err());
        assert!(write_checked(&path, &mut &b"abcd"[..], &expected(ABC, 3)).is_err());
        assert!(write_checked(&path, &mut &b"ab"[..], &expected(ABC, 3)).is_err());
        assert_eq!(std::fs::read_dir(folder.path().join("deep")).unwrap().count(), 0);
        write_checked(&path, &mut &b"abc"[..], &expected(ABC, 3)).unwrap();
        assert_eq!(sha256_of(&path).unwrap(), ABC);
    }

    #[test]
    fn the_same_bytes_are_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(write_if_different(&path, b"one").unwrap());
        assert!(!write_if_different(&path, b"one").unwrap());
        assert!(write_if_different(&path, b"two").unwrap());
    }

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".tmpAbC/wheel", "models/.tmpXyZ", "models/kept"] {
            write_if_different(&folder.path().join(name), b"1").unwrap();
        }
        let _lock = lock(folder.path()).unwrap();
        assert!(!folder.path().join(".tmpAbC").exists());
        assert!(!folder.path().join("models/.tmpXyZ").exists());
        assert!(folder.path().join("models/kept").exists());
    }

    #[test]
    fn a_tree_digest_sees_contents_names_and_the_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let digest = |recipe| digest_of_trees(folder.path(), &["a".into(), "absent".into()], recipe).unwrap();
        write_if_different(&folder.path().join("a/x"), b"1").unwrap();
        let first = digest("r");
        assert_eq!(first, digest("r"));
        assert_ne!(first, digest("s"));
        write_if_different(&folder.path().join("a/target/ignored"), b"1").unwrap();
        assert_eq!(first, digest("r"));
        write_if_different(&folder.path().join("a/y"), b"1").unwrap();
        assert_ne!(first, digest("r"));
    }
}
