//! A folder with what the nodes of one test need on disk: a CA, keys, an issuer's keys, small models.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use forebay_http::DevCa;
use forebay_seal::Keyring;
use tempfile::TempDir;

use crate::assets;
use crate::identity::{self, Signer};

/// Master keys: name and first byte. `other` is in no region's file.
const KEYS: [(&str, u8); 3] = [("region", 1), ("client", 2), ("other", 3)];

/// The small graphs: `matmul` (y = a x b + bias), `countdown` (runs as long as it is told to) and `echo`.
pub const SMALL_MODELS: [&str; 2] = ["matmul", "countdown"];

/// The folder. It goes when this does.
pub struct Place {
    folder: TempDir,
    ca: DevCa,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// A new folder with everything in it.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::ensure(folder.path()).unwrap();
        let place = Self { folder, ca };
        for (name, first) in KEYS {
            let path = place.write(&format!("{name}.key"), &hex(&master(first)));
            std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
        place.write("jwks.json", &identity::jwks(identity::SIGNERS.iter().map(Signer::jwk)));
        for name in SMALL_MODELS {
            let model = place.path().join(name);
            std::fs::create_dir(&model).unwrap();
            std::fs::copy(assets::graph(name), model.join("model.onnx")).unwrap();
            place.write(&format!("{name}/model.toml"), &format!("name = '{name}'\nversion = '1'\ntask = 'tensor'\n"));
        }
        place
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The root that every certificate here comes from.
    pub fn ca_pem(&self) -> &Path {
        &self.ca.files().ca
    }

    /// The authority.
    pub fn authority(&self) -> &DevCa {
        &self.ca
    }

    /// The keys of every `.key` file, as whoever holds all of them would open values.
    pub fn keyring(&self) -> Keyring {
        let mut keyring = Keyring::new();
        for (name, first) in KEYS {
            keyring.insert(name, master(first));
        }
        keyring
    }
}

fn master(first: u8) -> [u8; 32] {
    std::array::from_fn(|index| first.wrapping_mul(31).wrapping_add(index.try_into().unwrap()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
