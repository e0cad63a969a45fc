//! The node's own key: what is authenticated with it was made here.
//!
//! It never leaves the node and nobody else needs it. Losing it costs what it vouched for: artefacts are compiled anew.

use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::files::{self, StateError};

const FILE: &str = "node.key";
const KEY_BYTES: usize = 32;
/// The text of a key with white space around it; more is another kind of file.
const MAX_FILE_BYTES: u64 = 128;

/// The key. Wiped from memory when it goes, and nothing prints it.
pub struct NodeKey {
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

impl NodeKey {
    /// Reads the key in `folder`, `node.key`, and makes both where they are not there: the folder for its owner alone,
    /// the key of 32 random bytes in a file of mode 0600.
    ///
    /// # Errors
    /// Folder or file belong to others or can be used by them, or cannot be read or made.
    pub fn ensure(folder: &Path) -> Result<Self, StateError> {
        files::ensure_folder(folder)?;
        let path = folder.join(FILE);
        match files::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => make(&path)?,
            Err(error) => return Err(StateError::new(&path, error)),
            Ok(_) => {}
        }
        read(&path)
    }

    /// A key for one purpose: what is authenticated for one means nothing for another.
    pub(crate) fn derive(&self, purpose: &str) -> hmac::Key {
        let master = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_slice());
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&master, purpose.as_bytes()).as_ref())
    }
}

/// Two nodes that start at once agree on the key of the one that was first.
fn make(path: &Path) -> Result<(), StateError> {
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    SystemRandom::new().fill(secret.as_mut_slice()).map_err(|_| StateError::new(path, "no randomness"))?;
    let text = Zeroizing::new(format!("{}\n", URL_SAFE_NO_PAD.encode(secret.as_slice())));
    match files::create(path, text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(StateError::new(path, error)),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<NodeKey, StateError> {
    let wrong = |error: std::io::Error| StateError::new(path, error);
    let file = files::open(path).map_err(wrong)?;
    files::check_secret(&file).map_err(wrong)?;
    let text = Zeroizing::new(files::read(&file, MAX_FILE_BYTES).map_err(wrong)?);
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    match URL_SAFE_NO_PAD.decode_slice(text.trim_ascii(), secret.as_mut_slice()) {
        Ok(KEY_BYTES) => Ok(NodeKey { secret }),
        _ => Err(StateError::new(path, "is not a key of 32 bytes in base64url; remove it and a new one is made")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn tag(key: &NodeKey, purpose: &str) -> Vec<u8> {
        hmac::sign(&key.derive(purpose), b"x").as_ref().to_vec()
    }

    #[test]
    fn a_key_is_made_once_and_is_of_its_node() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, again) = (NodeKey::ensure(folder.path()).unwrap(), NodeKey::ensure(folder.path()).unwrap());
        assert_eq!(tag(&first, "a"), tag(&again, "a"));
        assert_ne!(tag(&first, "a"), tag(&first, "b"));
        assert_ne!(tag(&first, "a"), tag(&NodeKey::ensure(other.path()).unwrap(), "a"));
    }

    #[test]
    fn nodes_that_start_at_once_have_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let tags: Vec<_> = std::thread::scope(|scope| {
            let nodes: Vec<_> =
                (0..8).map(|_| scope.spawn(|| tag(&NodeKey::ensure(folder.path()).unwrap(), "a"))).collect();
            nodes.into_iter().map(|node| node.join().unwrap()).collect()
        });
        assert!(tags.windows(2).all(|pair| pair.first() == pair.last()));
    }

    #[test]
    fn a_key_that_others_can_read_and_one_that_is_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(NodeKey::ensure(folder.path()).unwrap());
        let path = folder.path().join(FILE);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(NodeKey::ensure(folder.path()).err().unwrap().to_string().contains("0640"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for text in ["", "short", &"A".repeat(44), &"A".repeat(1000)] {
            std::fs::write(&path, text).unwrap();
            assert!(NodeKey::ensure(folder.path()).is_err(), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(NodeKey::ensure(folder.path()).is_err());
    }
}
