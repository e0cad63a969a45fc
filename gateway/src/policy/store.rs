//! Where plugins come from and whether they may: files with their pins, signatures and versions, and what the node keeps
//! about them.
//!
//! Verified closed: as soon as one signer is named, a component without a signature that counts is not compiled, let alone
//! called. It must not know what plugins decide or which route uses them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_policy::signature::{
    self, MAX_SIGNATURE_FILE_BYTES, SignatureError, Signed, Signers, Verified, VerifyingKey, VersionMemory,
    component_sha256,
};
use forebay_policy::{ArtefactCache, ArtefactStats, Engine, MAX_COMPONENT_BYTES, NodeKey, Plugin, StateError};

use crate::config::{self, Config, PolicyState};
use crate::error::StartError;
use crate::policy::Policy;

/// A public key takes 113 bytes; more is another kind of file.
const MAX_KEY_FILE_BYTES: usize = 16 * 1024;

/// What this node keeps about plugins, in its state folder. Without one it keeps nothing.
#[derive(Clone, Default)]
pub(crate) struct Store {
    artefacts: Option<Arc<ArtefactCache>>,
    versions: Option<Arc<VersionMemory>>,
}

impl Store {
    /// Opens the state folder, and makes it on the first run.
    ///
    /// # Errors
    /// Others can use it, or somebody changed what is in it.
    pub(crate) fn open(state: Option<&PolicyState>) -> Result<Self, StartError> {
        let Some(state) = state else { return Ok(Self::default()) };
        let wrong = |error: StateError| StartError::File {
            key: "policy.state_dir".to_owned(),
            path: error.path.display().to_string(),
            reason: error.reason,
        };
        let node = NodeKey::ensure(&state.folder).map_err(wrong)?;
        let versions = VersionMemory::open(&state.folder, &node).map_err(wrong)?;
        let open = || ArtefactCache::open(&state.folder.join("artefacts"), &node, state.artefact_bytes);
        let artefacts = (state.artefact_bytes > 0).then(open).transpose().map_err(wrong)?;
        Ok(Self { artefacts: artefacts.map(Arc::new), versions: Some(Arc::new(versions)) })
    }

    /// The engine, with the artefacts that are kept here.
    pub(crate) fn equip(&self, engine: Engine) -> Engine {
        match &self.artefacts {
            Some(artefacts) => engine.with_artefacts(Arc::clone(artefacts)),
            None => engine,
        }
    }

    /// What the artefact cache did; None without one.
    pub(crate) fn artefacts(&self) -> Option<ArtefactStats> {
        self.artefacts.as_ref().map(|artefacts| artefacts.stats())
    }

    /// Remembers the versions that are served from now on: whatever went back was told to, by the configuration, through
    /// the admin API, or by its quarantine.
    pub(crate) fn remember(&self, policies: &[Arc<Policy>]) {
        let Some(versions) = &self.versions else { return };
        let serving = policies.iter().filter_map(|policy| {
            policy.verified.as_ref().map(|verified| (policy.plugin.name(), &verified.statement.version))
        });
        if let Err(error) = versions.note(serving) {
            tracing::error!(%error, "served versions are remembered in memory alone: after a restart they may go back");
        }
    }
}

/// Who may sign plugins now, and what they are held to.
pub(crate) struct Gatekeeper {
    signers: Signers,
    store: Store,
}

/// A component that may be loaded.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Its bytes.
    pub(crate) wasm: Vec<u8>,
    /// What its signer says of it; None where plugins need no signature.
    pub(crate) verified: Option<Verified>,
}

impl Gatekeeper {
    /// Reads the signers' keys.
    ///
    /// # Errors
    /// A file that is no key.
    pub(crate) fn new(config: &Config, store: &Store) -> Result<Self, StartError> {
        let read = |(index, path): (usize, &PathBuf)| {
            let key = format!("policy.signers[{index}]");
            let text = read_file(&key, path, MAX_KEY_FILE_BYTES)?;
            VerifyingKey::from_pem(&text).map_err(|error| file_error(&key, path, error))
        };
        let keys = config.signers.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        if !config.signers.is_empty() && store.versions.is_none() {
            tracing::warn!("`policy.state_dir` is not set: plugins are signed, but an older version may come back");
        }
        Ok(Self { signers: Signers::new(keys), store: store.clone() })
    }

    /// Reads a component and checks it against its pin and its signature. `at` is the key path of the plugin.
    ///
    /// # Errors
    /// It cannot be read, or must not be loaded: the plugin, the file and what would help.
    pub(crate) fn admit(&self, at: &str, plugin: &config::Plugin) -> Result<Admitted, StartError> {
        let key = format!("{at}.component");
        let wasm = read_file(&key, &plugin.component, MAX_COMPONENT_BYTES)?;
        let sha256 = component_sha256(&wasm);
        if let Some(pinned) = plugin.trust.sha256.filter(|pinned| *pinned != sha256) {
            let (real, pinned) = (signature::hex(&sha256), signature::hex(&pinned));
            return Err(refused(plugin, format!("has the SHA-256 {real}, but `{at}.sha256` is {pinned}")));
        }
        if self.signers.is_empty() {
            return Ok(Admitted { wasm, verified: None });
        }
        let verified = self.verify(plugin, &sha256)?;
        Ok(Admitted { wasm, verified: Some(verified) })
    }

    fn verify(&self, plugin: &config::Plugin, sha256: &[u8; 32]) -> Result<Verified, StartError> {
        let (trust, path) = (&plugin.trust, signature_path(&plugin.component));
        let name = &trust.signed_name;
        let text = read_file("policy.signers", &path, MAX_SIGNATURE_FILE_BYTES).map_err(|error| {
            let component = plugin.component.display();
            refused(
                plugin,
                format!(
                    "has no signature that could be read ({error}), and `policy.signers` asks for one: run \
                     `forebay plugin sign {component} --key KEY --name {name} --version VERSION`"
                ),
            )
        })?;
        let wrong = |error: SignatureError| refused(plugin, format!("{}: {error}; {}", path.display(), help(&error)));
        let signed = Signed::from_json(&text).map_err(wrong)?;
        self.signers.verify(&signed, sha256, name, trust.version.as_ref()).map_err(wrong)
    }

    /// Checks that a version which is about to serve does not go back behind the one that served before.
    ///
    /// # Errors
    /// It does, and nobody said that it may.
    pub(crate) fn check_version(&self, plugin: &config::Plugin, verified: Option<&Verified>) -> Result<(), StartError> {
        let versions = self.store.versions.as_ref().filter(|_| !plugin.trust.allow_downgrade);
        let Some((versions, verified)) = versions.zip(verified) else { return Ok(()) };
        let checked = versions.check(&plugin.name, &verified.statement.version);
        checked.map_err(|error| refused(plugin, format!("{error}; {}", help(&error))))
    }
}

impl Admitted {
    /// Checks that the loaded component can do what its signer said, no less and no more.
    ///
    /// # Errors
    /// It imports something else.
    pub(crate) fn check(
        verified: Option<&Verified>,
        config: &config::Plugin,
        plugin: &Plugin,
    ) -> Result<(), StartError> {
        let checked = verified.map_or(Ok(()), |verified| verified.check_imports(plugin.imports()));
        checked.map_err(|error| refused(config, format!("{error}; {}", help(&error))))
    }
}

/// `NAME.wasm.sig` beside `NAME.wasm`.
pub(crate) fn signature_path(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

fn help(error: &SignatureError) -> &'static str {
    match error {
        SignatureError::UnknownSigner { .. } => "add its publisher's key to `policy.signers`, or have it signed by one",
        SignatureError::OtherName { .. } => "set `signed_name` if that is the plugin that is meant",
        SignatureError::OtherVersion { .. } => "change `version`, or deploy the version that it names",
        SignatureError::Downgrade { .. } => "set `allow_downgrade = true` if that is meant",
        _ => "sign this component anew with `forebay plugin sign`",
    }
}

#[allow(clippy::needless_pass_by_value)]
fn refused(plugin: &config::Plugin, reason: String) -> StartError {
    let reason = format!("{}: {reason}", plugin.component.display());
    StartError::Plugin { name: plugin.name.clone(), reason }
}

fn read_file(key: &str, path: &Path, most: usize) -> Result<Vec<u8>, StartError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| file_error(key, path, error))?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| file_error(key, path, error))?;
    if bytes.len() > most {
        return Err(file_error(key, path, format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

#[allow(clippy::needless_pass_by_value)]
fn file_error(key: &str, path: &Path, reason: impl ToString) -> StartError {
    StartError::File { key: key.to_owned(), path: path.display().to_string(), reason: reason.to_string() }
}
