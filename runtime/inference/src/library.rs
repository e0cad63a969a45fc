//! Looks at ONNX Runtime's library before it is loaded.
//!
//! The dynamic linker maps a file and trusts it: one that was cut short by a broken download kills the process with
//! SIGBUS instead of giving an error. What is checked here turns that into a sentence.

use std::{fs::File, io::Read as _, path::Path};

use crate::digest;

/// Checks that the file is a whole ELF library (on Linux) and, if a digest is given, exactly the expected one.
///
/// `sha256` is 64 hexadecimal digits. The error is a sentence for the operator, without the path.
pub(crate) fn check(path: &Path, sha256: Option<&str>) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    if cfg!(target_os = "linux") {
        let mut header = Vec::with_capacity(ELF_HEADER_BYTES);
        File::open(path)
            .and_then(|file| file.take(ELF_HEADER_BYTES as u64).read_to_end(&mut header))
            .map_err(|error| error.to_string())?;
        check_elf(&header, metadata.len())?;
    }
    match sha256 {
        None => Ok(()),
        Some(expected) => check_digest(path, expected),
    }
}

fn check_digest(path: &Path, expected: &str) -> Result<(), String> {
    let actual = digest::sha256_of_file(path).map_err(|error| error.to_string())?;
    if actual.eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        Err(format!("its SHA-256 is {actual}, not {expected} as configured"))
    }
}

/// Size of a 64-bit ELF header (System V ABI, "ELF Header").
const ELF_HEADER_BYTES: usize = 64;

/// A linker writes the section table last, so a file that holds all of it was not cut short.
fn check_elf(header: &[u8], file_bytes: u64) -> Result<(), String> {
    if !header.starts_with(b"\x7fELF") {
        return Err("not an ELF library".to_owned());
    }
    let end = section_table_end(header).ok_or("its ELF header is damaged or not a 64-bit little-endian one")?;
    if end > file_bytes {
        return Err(format!("cut short: it has {file_bytes} bytes and its header speaks of {end}"));
    }
    Ok(())
}

/// `e_shoff + e_shnum * e_shentsize`, in bytes from the start of the file.
fn section_table_end(header: &[u8]) -> Option<u64> {
    const CLASS_64_LITTLE_ENDIAN: [u8; 2] = [2, 1];
    if header.get(4..6)? != CLASS_64_LITTLE_ENDIAN {
        return None;
    }
    let offset = u64::from_le_bytes(header.get(0x28..0x30)?.try_into().ok()?);
    let entry_bytes = u16::from_le_bytes(header.get(0x3a..0x3c)?.try_into().ok()?);
    let entries = u16::from_le_bytes(header.get(0x3c..0x3e)?.try_into().ok()?);
    offset.checked_add(u64::from(entry_bytes) * u64::from(entries))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::{check, check_elf};
    use proptest::prelude::*;

    fn header(section_offset: u64, entries: u16) -> Vec<u8> {
        let mut header = vec![0; 64];
        header.splice(..6, *b"\x7fELF\x02\x01");
        header.splice(0x28..0x30, section_offset.to_le_bytes());
        header.splice(0x3a..0x3c, 64u16.to_le_bytes());
        header.splice(0x3c..0x3e, entries.to_le_bytes());
        header
    }

    #[test]
    fn a_file_that_ends_before_its_section_table_is_cut_short() {
        assert_eq!(check_elf(&header(1000, 2), 1128), Ok(()));
        assert!(check_elf(&header(1000, 2), 1127).unwrap_err().contains("cut short"));
        assert!(check_elf(&header(u64::MAX, 2), 1127).is_err());
    }

    #[test]
    fn what_is_no_library_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lib.so");
        std::fs::write(&file, "hello").unwrap();
        assert_eq!(check(&file, None).unwrap_err(), "not an ELF library");
        assert_eq!(check(folder.path(), None).unwrap_err(), "not a file");
        assert!(check(&folder.path().join("none"), None).unwrap_err().contains("No such file"));
    }

    #[test]
    fn another_digest_is_refused_with_both_in_the_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), header(64, 0)).unwrap();
        let error = check(file.path(), Some("00ff")).unwrap_err();
        assert!(error.contains("not 00ff as configured"), "{error}");
    }

    proptest! {
        #[test]
        fn no_header_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), length in any::<u64>()) {
            let _ = check_elf(&bytes, length);
            let mut elf = b"\x7fELF\x02\x01".to_vec();
            elf.extend(bytes);
            let _ = check_elf(&elf, length);
        }
    }
}
