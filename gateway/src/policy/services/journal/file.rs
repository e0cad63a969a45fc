//! A file of lines that is put aside when it is full. Lines are never cut in two, and never written past where they can
//! be found.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config;

/// Readable by nobody but the node's own user.
const MODE: u32 = 0o600;

/// The file, and those that were put aside beside it: `{name}.1` is the newest.
pub(super) struct Rotating {
    path: PathBuf,
    now: Open,
}

struct Open {
    file: File,
    bytes: u64,
    /// Device and number, by which it is told from another at the same path.
    id: (u64, u64),
}

impl fmt::Display for Rotating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Rotating {
    /// Opens the file at this path, or makes it.
    ///
    /// # Errors
    /// It cannot be written, or it is no file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), now: Open::at(path)? })
    }

    /// Writes `lines` from `at` on, and moves `at` behind what was written: after an error the same call goes on from
    /// there.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn write(&mut self, lines: &[u8], at: &mut usize, limits: &config::Journal) -> io::Result<()> {
        while *at < lines.len() {
            if !self.is_there() {
                tracing::warn!(journal = %self, "is not the file that it was; a new one is begun");
                *at = line_start(lines, *at);
                self.now = Open::at(&self.path)?;
            }
            let within = *at > line_start(lines, *at);
            let room = limits.file_bytes.saturating_sub(self.now.bytes);
            let mut fits = whole_lines(lines, *at, room);
            if fits == *at {
                // The rest of a line that was begun, or one that is longer than a file may be, goes where we are.
                if !within && self.now.bytes > 0 {
                    self.rotate(limits.files)?;
                    continue;
                }
                fits = line_end(lines, *at);
            }
            let wrote = self.now.append(lines.get(*at..fits).unwrap_or_default())?;
            *at += wrote;
        }
        Ok(())
    }

    /// Has everything that was written on disk.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.now.file.sync_data()
    }

    /// Whether what is at the path is still the file that is open.
    fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| id(&metadata) == self.now.id)
    }

    /// Puts the file aside and begins a new one; `files` full ones stay.
    fn rotate(&mut self, files: usize) -> io::Result<()> {
        self.now.file.sync_all()?;
        // Up to the first free place and no further: trying again what failed below must not push more of them out.
        let free = (1..files).find(|n| !self.aside(*n).exists()).unwrap_or(files);
        for n in (1..free).rev() {
            fs::rename(self.aside(n), self.aside(n + 1))?;
        }
        fs::rename(&self.path, self.aside(1))?;
        self.now = Open::at(&self.path)?;
        tracing::info!(journal = %self, "a new file is begun");
        // So that a power cut does not bring the old names back.
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    fn aside(&self, n: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{n}"));
        name.into()
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        // Opening a pipe would wait for its reader.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
        // Two nodes would put each other's files aside. Where a file system has no locks, nobody can know.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process writes to it"));
        }
        let metadata = file.metadata()?;
        let mut open = Self { file, bytes: metadata.len(), id: id(&metadata) };
        if open.ends_within_a_line()? {
            open.append(b"\n")?;
        }
        Ok(open)
    }

    /// Whether the last line has no end: a power cut, or a full disk.
    fn ends_within_a_line(&mut self) -> io::Result<bool> {
        if self.bytes == 0 {
            return Ok(false);
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(last != *b"\n")
    }

    /// One write at the end of the file, however much it takes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wrote = match self.file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            wrote => wrote?,
        };
        self.bytes = self.bytes.saturating_add(u64::try_from(wrote).unwrap_or(u64::MAX));
        Ok(wrote)
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Where the line begins that `at` is in.
fn line_start(lines: &[u8], at: usize) -> usize {
    let before = lines.get(..at).unwrap_or_default();
    before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// Behind the line that `at` is in.
fn line_end(lines: &[u8], at: usize) -> usize {
    let rest = lines.get(at..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| at + end + 1)
}

/// Behind the last line after `at` that ends within `room` bytes; `at` when none does.
fn whole_lines(lines: &[u8], at: usize, room: u64) -> usize {
    let until = at.saturating_add(usize::try_from(room).unwrap_or(usize::MAX)).min(lines.len());
    line_start(lines, until).max(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use proptest::prelude::{any, prop_assert_eq, proptest};
    use tempfile::TempDir;

    use super::*;

    fn limits(path: &Path, file_bytes: u64, files: usize) -> config::Journal {
        config::Journal { file: path.to_owned(), file_bytes, files, sync: Duration::from_secs(1), queue_bytes: 1_000 }
    }

    fn write(file: &mut Rotating, lines: &str, limits: &config::Journal) {
        file.write(lines.as_bytes(), &mut 0, limits).unwrap();
    }

    fn read(path: &Path, aside: &str) -> String {
        fs::read_to_string(format!("{}{aside}", path.display())).unwrap_or_default()
    }

    fn place() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        (folder, path)
    }

    #[test]
    fn a_full_file_is_put_aside_between_lines_and_the_oldest_goes() {
        let (_folder, path) = place();
        let limits = limits(&path, 6, 2);
        let mut file = Rotating::open(&path).unwrap();
        write(&mut file, "aa\nbb\ncc\ndd\n", &limits);
        assert_eq!((read(&path, ""), read(&path, ".1")), ("cc\ndd\n".to_owned(), "aa\nbb\n".to_owned()));
        write(&mut file, "longer than a file\nee\n", &limits);
        assert_eq!(
            (read(&path, ""), read(&path, ".1"), read(&path, ".2"), read(&path, ".3")),
            ("ee\n".into(), "longer than a file\n".into(), "cc\ndd\n".into(), String::new())
        );
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn it_goes_on_where_it_was_and_never_within_a_line() {
        let (_folder, path) = place();
        let (limits, small) = (limits(&path, 1_000, 2), limits(&path, 1, 2));
        fs::write(&path, "old\nbroken o").unwrap();
        let mut file = Rotating::open(&path).unwrap();
        write(&mut file, "new\n", &limits);
        assert_eq!(read(&path, ""), "old\nbroken o\nnew\n");
        // A line that was begun is ended, even past the limit; in another file it is begun again.
        let mut at = 3;
        file.write(b"one\ntwo\n", &mut at, &small).unwrap();
        assert_eq!((at, read(&path, "")), (8, "two\n".to_owned()));
        fs::remove_file(&path).unwrap();
        let mut at = 6;
        file.write(b"one\ntwo\n", &mut at, &limits).unwrap();
        assert_eq!(read(&path, ""), "two\n");
    }

    #[test]
    fn what_is_no_file_or_has_a_writer_is_refused() {
        let (folder, path) = place();
        assert!(Rotating::open(folder.path()).is_err());
        assert!(Rotating::open(&path.join("none")).is_err());
        let first = Rotating::open(&path).unwrap();
        assert_eq!(Rotating::open(&path).err().unwrap().kind(), io::ErrorKind::ResourceBusy);
        drop(first);
        assert!(Rotating::open(&path).is_ok());
    }

    proptest! {
        #[test]
        fn no_line_is_lost_cut_or_moved(lengths in proptest::collection::vec(0..40_usize, 0..40), file_bytes in 1..100_u64, cut in any::<proptest::sample::Index>()) {
            let (_folder, path) = place();
            let limits = limits(&path, file_bytes, 100);
            let lines: String = lengths.iter().enumerate().map(|(n, length)| format!("{n}:{}\n", "x".repeat(*length))).collect();
            let mut file = Rotating::open(&path).unwrap();
            let first = line_start(lines.as_bytes(), cut.index(lines.len() + 1));
            let (early, late) = lines.split_at(first);
            write(&mut file, early, &limits);
            write(&mut file, late, &limits);
            let all: String = (0..=100).rev().map(|n| read(&path, &if n == 0 { String::new() } else { format!(".{n}") })).collect();
            prop_assert_eq!(all, lines);
        }
    }
}
