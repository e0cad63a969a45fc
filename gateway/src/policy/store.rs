//! Where plugins and functions come from and whether they may: files with their pins, signatures and versions, and what the node keeps
//! about them.
//!
//! Verified closed: as soon as one signer is named, a component without a signature that counts is not compiled, let alone
//! called. It must not know what plugins decide or which route uses them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_policy::signature::{
    self, MAX_SIGNATURE_FILE_BYTES, SignatureError, Signed, Signers, Verified, VerifyingKey, VersionMemory,
    component_sha256,
};
use forebay_policy::{ArtefactCache, ArtefactStats, Engine, MAX_COMPONENT_BYTES, NodeKey, StateError, StateFile};

use crate::config::{self, Config, PolicyState};
use crate::error::StartError;
use crate::function;
use crate::policy::Policy;
use crate::policy::lifecycle::Lifecycle;

/// A public key takes 113 bytes; more is another kind of file.
const MAX_KEY_FILE_BYTES: usize = 16 * 1024;

/// What this node keeps about plugins, in its state folder. Without one it keeps nothing.
#[derive(Clone, Default)]
pub(crate) struct Store {
    artefacts: Option<Arc<ArtefactCache>>,
    versions: Option<Arc<VersionMemory>>,
}

impl Store {
    /// Opens the state folder, and makes it on the first run. What was decided about versions before is in it too.
    ///
    /// # Errors
    /// Others can use it, or somebody changed what is in it.
    pub(crate) fn open(state: Option<&PolicyState>) -> Result<(Self, Lifecycle), StartError> {
        let Some(state) = state else { return Ok(Default::default()) };
        let wrong = |error: StateError| StartError::File {
            key: "policy.state_dir".to_owned(),
            path: error.path.display().to_string(),
            reason: error.reason,
        };
        let node = NodeKey::ensure(&state.folder).map_err(wrong)?;
        let versions = VersionMemory::open(&state.folder, &node).map_err(wrong)?;
        let open = || ArtefactCache::open(&state.folder.join("artefacts"), &node, state.artefact_bytes);
        let lifecycle = Lifecycle::open(StateFile::new(&state.folder, "promotions", &node)).map_err(wrong)?;
        let artefacts = (state.artefact_bytes > 0).then(open).transpose().map_err(wrong)?;
        Ok((Self { artefacts: artefacts.map(Arc::new), versions: Some(Arc::new(versions)) }, lifecycle))
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

    /// Remembers the versions that are served from now on. One that `may_go_back`, by its plugin's name, since an operator
    /// said so in the configuration or through the admin API, is the one to compare with from now on; one that was put
    /// back by its successor's quarantine is not.
    pub(crate) fn remember(&self, policies: &[Arc<Policy>], may_go_back: impl Fn(&str) -> bool) {
        let Some(versions) = &self.versions else { return };
        let serving = policies.iter().filter_map(|policy| {
            let (name, verified) = (policy.plugin.name(), policy.verified.as_ref()?);
            let version = &verified.statement.version;
            Some(signature::Served { name, version, may_go_back: may_go_back(name) })
        });
        if let Err(error) = versions.note(serving) {
            tracing::error!(%error, "served versions are remembered in memory alone: after a restart they may go back");
        }
    }
}

impl Store {
    /// As [`Self::remember`], for functions.
    pub(crate) fn remember_functions(&self, functions: &[function::Loaded]) {
        let Some(versions) = &self.versions else { return };
        let served = |one: &function::Loaded| {
            let verified = one.verified.as_ref()?;
            let name = Kind::Function.name_in_memory(&one.config.name).into_owned();
            Some((name, verified.statement.version.clone(), one.config.trust.allow_downgrade))
        };
        let served: Vec<_> = functions.iter().filter_map(served).collect();
        let serving = served.iter().map(|(name, version, may_go_back)| signature::Served {
            name,
            version,
            may_go_back: *may_go_back,
        });
        if let Err(error) = versions.note(serving) {
            tracing::error!(%error, "served versions are remembered in memory alone: after a restart they may go back");
        }
    }
}

/// What a component is loaded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plugin,
    Function,
}

impl Kind {
    fn max_bytes(self) -> usize {
        match self {
            Self::Plugin => MAX_COMPONENT_BYTES,
            Self::Function => forebay_wasi_http::MAX_COMPONENT_BYTES,
        }
    }

    /// The name that its version is remembered by. No plugin has a `#` in its name, so a function of the same name does not
    /// raise its version.
    pub(crate) fn name_in_memory(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::Plugin => Cow::Borrowed(name),
            Self::Function => Cow::Owned(format!("function#{name}")),
        }
    }
}

/// A component that is about to be loaded, as the configuration names it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    kind: Kind,
    name: &'a str,
    component: &'a Path,
    trust: &'a config::Trust,
}

impl<'a> From<&'a config::Plugin> for Subject<'a> {
    fn from(plugin: &'a config::Plugin) -> Self {
        Self { kind: Kind::Plugin, name: &plugin.name, component: &plugin.component, trust: &plugin.trust }
    }
}

impl<'a> From<&'a config::Function> for Subject<'a> {
    fn from(function: &'a config::Function) -> Self {
        Self { kind: Kind::Function, name: &function.name, component: &function.component, trust: &function.trust }
    }
}

impl Subject<'_> {
    #[allow(clippy::needless_pass_by_value)]
    fn refused(self, reason: String) -> StartError {
        let (name, reason) = (self.name.to_owned(), format!("{}: {reason}", self.component.display()));
        match self.kind {
            Kind::Plugin => StartError::Plugin { name, reason },
            Kind::Function => StartError::Function { name, reason },
        }
    }
}

/// Who may sign components now, and what they are held to.
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
    /// Whether a component with this signature may serve, as far as the signers go.
    pub(crate) fn trusts(&self, verified: Option<&Verified>) -> bool {
        self.signers.is_empty() || verified.is_some_and(|verified| self.signers.know(&verified.signer))
    }

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

    /// Reads a component and checks it against its pin and its signature. `at` is the key path of its entry.
    ///
    /// # Errors
    /// It cannot be read, or must not be loaded: its name, the file and what would help.
    pub(crate) fn admit<'a>(&self, at: &str, subject: impl Into<Subject<'a>>) -> Result<Admitted, StartError> {
        let subject = subject.into();
        let key = format!("{at}.component");
        let wasm = read_file(&key, subject.component, subject.kind.max_bytes())?;
        let sha256 = component_sha256(&wasm);
        if let Some(pinned) = subject.trust.sha256.filter(|pinned| *pinned != sha256) {
            let (real, pinned) = (signature::hex(&sha256), signature::hex(&pinned));
            return Err(subject.refused(format!("has the SHA-256 {real}, but `{at}.sha256` is {pinned}")));
        }
        if self.signers.is_empty() {
            return Ok(Admitted { wasm, verified: None });
        }
        let verified = self.verify(subject, &sha256)?;
        Ok(Admitted { wasm, verified: Some(verified) })
    }

    fn verify(&self, subject: Subject<'_>, sha256: &[u8; 32]) -> Result<Verified, StartError> {
        let (trust, path) = (subject.trust, signature_path(subject.component));
        let name = &trust.signed_name;
        let text = read_file("policy.signers", &path, MAX_SIGNATURE_FILE_BYTES).map_err(|error| {
            let component = subject.component.display();
            subject.refused(format!(
                "has no signature that could be read ({error}), and `policy.signers` asks for one: run \
                 `forebay plugin sign {component} --key KEY --name {name} --version VERSION`"
            ))
        })?;
        let wrong = |error: SignatureError| subject.refused(format!("{}: {error}; {}", path.display(), help(&error)));
        let signed = Signed::from_json(&text).map_err(wrong)?;
        self.signers.verify(&signed, sha256, name, trust.version.as_ref()).map_err(wrong)
    }

    /// Checks that a version which is about to serve does not go back behind the one that served before.
    ///
    /// # Errors
    /// It does, and nobody said that it may.
    pub(crate) fn check_version<'a>(
        &self,
        subject: impl Into<Subject<'a>>,
        verified: Option<&Verified>,
    ) -> Result<(), StartError> {
        let subject = subject.into();
        let versions = self.store.versions.as_ref().filter(|_| !subject.trust.allow_downgrade);
        let Some((versions, verified)) = versions.zip(verified) else { return Ok(()) };
        let checked = versions.check(&subject.kind.name_in_memory(subject.name), &verified.statement.version);
        checked.map_err(|error| subject.refused(format!("{error}; {}", help(&error))))
    }

    /// Checks that a candidate could take the place of the version beside it: as any version that is about to serve, and as
    /// if that one had served already.
    ///
    /// # Errors
    /// It would go back, and nobody said that it may.
    pub(crate) fn check_candidate(
        &self,
        plugin: &config::Plugin,
        candidate: Option<&Verified>,
        active: Option<&Verified>,
    ) -> Result<(), StartError> {
        self.check_version(plugin, candidate)?;
        let remembers = self.store.versions.is_some() && !plugin.trust.allow_downgrade;
        let Some((candidate, active)) = candidate.zip(active).filter(|_| remembers) else { return Ok(()) };
        let (version, served) = (&candidate.statement.version, &active.statement.version);
        if version.cmp_precedence(served).is_ge() {
            return Ok(());
        }
        let error = SignatureError::Downgrade { served: served.clone(), version: version.clone() };
        Err(Subject::from(plugin).refused(format!("{error}; {}", help(&error))))
    }
}

impl Admitted {
    /// Checks that the loaded component can do what its signer said, no less and no more.
    ///
    /// # Errors
    /// It imports something else.
    pub(crate) fn check<'a>(
        verified: Option<&Verified>,
        subject: impl Into<Subject<'a>>,
        imports: &BTreeSet<String>,
    ) -> Result<(), StartError> {
        let checked = verified.map_or(Ok(()), |verified| verified.check_names(imports));
        checked.map_err(|error| subject.into().refused(format!("{error}; {}", help(&error))))
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
