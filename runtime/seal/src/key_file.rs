//! Reads a master key from a file, as key management agents and `openssl rand` write them.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::SealError;
use crate::derive::KEY_BYTES;

/// A key takes 64 characters at most; more than this is another kind of file.
const MAX_FILE_BYTES: u64 = 256;

/// Reads a file that only its owner can read: 32 bytes as 64 hexadecimal digits or 43 characters of base64url, with white space around allowed.
pub(crate) fn read(name: &str, path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
    let wrong = |reason: String| SealError::KeyFile { name: name.to_owned(), path: path.display().to_string(), reason };
    let mut text = Zeroizing::new(Vec::with_capacity(512));
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
    if let Some(mode) = open_to_others(&metadata) {
        return Err(wrong(format!(
            "its mode is {mode:04o}, so others than its owner can use it: run `chmod 600 {}`",
            path.display()
        )));
    }
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(format!("over {MAX_FILE_BYTES} bytes long: this is not a key")));
    }
    parse(text.trim_ascii()).ok_or_else(|| {
        wrong("does not hold 32 bytes as hex or unpadded base64url; `openssl rand -hex 32` makes one".to_owned())
    })
}

/// The mode of a regular file that its group or others can read, write or execute.
#[cfg(unix)]
fn open_to_others(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    const PERMISSIONS: u32 = 0o7777;
    const GROUP_AND_OTHERS: u32 = 0o077;
    let mode = metadata.permissions().mode();
    (metadata.is_file() && mode & GROUP_AND_OTHERS != 0).then_some(mode & PERMISSIONS)
}

#[cfg(not(unix))]
fn open_to_others(_: &Metadata) -> Option<u32> {
    None
}

fn parse(text: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if text.len() == 2 * KEY_BYTES {
        for (byte, [high, low]) in key.iter_mut().zip(text.as_chunks().0) {
            *byte = (nibble(*high)? << 4) | nibble(*low)?;
        }
        return Some(key);
    }
    let decoded = URL_SAFE_NO_PAD.decode_slice(text, key.as_mut_slice());
    (decoded == Ok(KEY_BYTES)).then_some(key)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_spellings_give_the_same_key() {
        let key: [u8; 32] = std::array::from_fn(|index| u8::try_from(index * 7 % 256).unwrap());
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [hex.clone(), hex.to_uppercase(), URL_SAFE_NO_PAD.encode(key)] {
            assert_eq!(*parse(text.as_bytes()).unwrap(), key, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        let padded = format!("{}=", URL_SAFE_NO_PAD.encode([1; 32]));
        for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &padded, &URL_SAFE_NO_PAD.encode([1; 31])] {
            assert!(parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_file_and_not_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "hunter2").unwrap();
        allow(&path, 0o600);
        let message = read("records", &path).unwrap_err().to_string();
        assert!(message.contains("records") && message.contains("key") && !message.contains("hunter2"), "{message}");
        std::fs::write(&path, "0".repeat(1000)).unwrap();
        assert!(read("records", &path).unwrap_err().to_string().contains("over 256 bytes"));
        assert!(read("records", &folder.path().join("none")).is_err());
        std::fs::write(&path, format!("\n{}\n", "ab".repeat(32))).unwrap();
        assert_eq!(*read("records", &path).unwrap(), [0xab; 32]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "ab".repeat(32)).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644, 0o777] {
            allow(&path, mode);
            let message = read("records", &path).unwrap_err().to_string();
            let said = [format!("{mode:04o}"), format!("`chmod 600 {}`", path.display())];
            assert!(said.iter().all(|said| message.contains(said)), "{message}");
        }
        for mode in [0o600, 0o400] {
            allow(&path, mode);
            assert_eq!(*read("records", &path).unwrap(), [0xab; 32]);
        }
    }

    #[cfg(unix)]
    fn allow(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }

    #[cfg(not(unix))]
    fn allow(_: &Path, _: u32) {}

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&text);
        }
    }
}
