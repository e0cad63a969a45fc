//! A component and how a gateway would load it: what `check`, `try` and `bench` have in common.
//!
//! The entry of a plugin in a gateway's configuration says its grants, limits and own configuration. Authors keep it in
//! `plugin.toml`; operators have it in the gateway's file. Either is read here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use forebay_policy::{
    ArtefactCache, CallLimits, Capability, Engine, EngineLimits, LoadError, NodeKey, Plugin, PluginSpec,
};
use serde::Deserialize;

use super::services;
use crate::cli::Failure;
use crate::config::file;

/// Where authors keep the entry.
pub(super) const PLUGIN_FILE: &str = "plugin.toml";

/// Instances that may be alive at once: there is one caller, and what waits for it.
const INSTANCES: u32 = 64;

/// The most bytes of compiled components that are kept for the next command. One that carries an engine takes half a
/// minute to compile.
const ARTEFACT_BYTES: u64 = 512 * 1024 * 1024;

/// Which component, and how it is loaded.
#[derive(Args)]
pub(super) struct Which {
    /// The component. Default: the one that plugin.toml names.
    component: Option<PathBuf>,
    /// A file with the plugin's `[[plugins]]` entry (plugin.toml, or a gateway's configuration), or its own
    /// configuration alone, as TOML or JSON, in place of that in plugin.toml. Default: plugin.toml beside the component,
    /// or here.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the entry, where the file has several.
    #[arg(long)]
    name: Option<String>,
    /// Interfaces that it may import, separated by commas. Default: those of the entry.
    #[arg(long, value_delimiter = ',')]
    grants: Option<Vec<Capability>>,
}

/// A plugin about to be loaded.
pub(super) struct Candidate {
    /// Its component.
    pub(super) file: PathBuf,
    /// What it is granted.
    pub(super) grants: BTreeSet<Capability>,
    /// Size of the component in bytes.
    pub(super) bytes: usize,
    spec: PluginSpec,
}

impl Which {
    /// Finds and reads the component and its entry.
    ///
    /// # Errors
    /// `Usage`, with the file that is missing or wrong.
    pub(super) fn candidate(&self) -> Result<Candidate, Failure> {
        let entry = self.whole_entry()?;
        let Some(file) = self.component.clone().or(entry.component) else {
            return Err(Failure::Usage(format!("name a component, or be in a folder with a {PLUGIN_FILE}")));
        };
        let wasm = read(&file)?;
        let grants = self.grants.as_ref().map_or(entry.grants, |grants| grants.iter().copied().collect());
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let spec = PluginSpec {
            name: entry.name.unwrap_or(stem),
            wasm,
            config: entry.config,
            // What is missing is told by the caller: the whole list, beside what is there.
            grants: BTreeSet::from(Capability::ALL),
            limits: entry.limits,
            services: services::offline(),
        };
        Ok(Candidate { bytes: spec.wasm.len(), file, grants, spec })
    }

    /// The entry of `--config`; or that of `plugin.toml`, with the configuration of `--config` where that is all it has.
    fn whole_entry(&self) -> Result<Entry, Failure> {
        let own = match self.config.as_deref().map(|file| self.read(file)).transpose()? {
            Some(Read::Entry(entry)) => return Ok(*entry),
            Some(Read::Own(config)) => Some(config),
            None => None,
        };
        let found = self.found_entry_file().map(|file| self.read(&file)).transpose()?;
        let mut entry = match found {
            Some(Read::Entry(entry)) => *entry,
            _ => Entry::default(),
        };
        if let Some(own) = own {
            entry.config = own;
        }
        Ok(entry)
    }

    fn found_entry_file(&self) -> Option<PathBuf> {
        let beside = self.component.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        [beside.join(PLUGIN_FILE), PathBuf::from(PLUGIN_FILE)].into_iter().find(|file| file.is_file())
    }

    fn read(&self, file: &Path) -> Result<Read, Failure> {
        let text = String::from_utf8(read(file)?).map_err(|_| usage(file, "is not UTF-8"))?;
        if file.extension().is_some_and(|kind| kind == "json") {
            return Ok(Read::Own(text));
        }
        let table: toml::Table = text.parse().map_err(|error| usage(file, error))?;
        if !table.contains_key("plugins") {
            return serde_json::to_string(&table).map(Read::Own).map_err(|error| usage(file, error));
        }
        let entries = Entries::deserialize(table).map_err(|error| usage(file, error))?;
        let entry = self.choose(&entries.plugins).map_err(|reason| usage(file, reason))?;
        let entry = Entry::new(entry, file.parent().unwrap_or(Path::new(""))).map_err(|reason| usage(file, reason))?;
        Ok(Read::Entry(Box::new(entry)))
    }

    /// The entry of that name, or of that component, or the only one.
    fn choose<'e>(&self, entries: &'e [file::Plugin]) -> Result<&'e file::Plugin, String> {
        let same_file = |entry: &&file::Plugin| match &self.component {
            Some(component) => component.file_name() == entry.component.file_name(),
            None => false,
        };
        let named = |name: &String| entries.iter().find(|entry| entry.name == *name);
        let found = match (&self.name, entries) {
            (Some(name), _) => named(name),
            (None, [only]) => Some(only),
            (None, several) => several.iter().find(same_file),
        };
        found.ok_or_else(|| {
            let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
            format!("which of its plugins? say --name, one of: {}", names.join(", "))
        })
    }
}

/// What a file of `--config` holds.
enum Read {
    /// An entry of `[[plugins]]`.
    Entry(Box<Entry>),
    /// The plugin's own configuration alone, as JSON.
    Own(String),
}

/// The part of a gateway's configuration that is read here.
#[derive(Deserialize)]
struct Entries {
    #[serde(default)]
    plugins: Vec<file::Plugin>,
}

/// An entry, as far as it was given.
#[derive(Default)]
struct Entry {
    name: Option<String>,
    component: Option<PathBuf>,
    grants: BTreeSet<Capability>,
    config: String,
    limits: CallLimits,
}

impl Entry {
    fn new(entry: &file::Plugin, folder: &Path) -> Result<Self, String> {
        let grants = entry.grants.iter().map(|name| name.parse().map_err(|error| format!("grants: {error}")));
        let config = entry.config.clone().unwrap_or_default();
        let defaults = CallLimits::default();
        Ok(Self {
            name: Some(entry.name.clone()).filter(|name| !name.is_empty()),
            component: Some(folder.join(&entry.component)).filter(|_| !entry.component.as_os_str().is_empty()),
            grants: grants.collect::<Result<_, String>>()?,
            config: serde_json::to_string(&config).map_err(|error| error.to_string())?,
            limits: CallLimits {
                deadline: entry.deadline_ms.map_or(defaults.deadline, Duration::from_millis),
                memory_bytes: entry.memory_bytes.unwrap_or(defaults.memory_bytes),
                memo_bytes: entry.memo_bytes.unwrap_or(defaults.memo_bytes),
                // Somebody who tries a plugin wants to see each failure.
                quarantine_after: 0,
                instances: Some(INSTANCES),
                ..defaults
            },
        })
    }
}

impl Candidate {
    /// An engine to load it with.
    ///
    /// # Errors
    /// `Failed`: none can be had here.
    pub(super) fn engine() -> Result<Engine, Failure> {
        let limits = EngineLimits { instances: INSTANCES, ..EngineLimits::default() };
        let engine = Engine::new(&limits).map_err(|error| Failure::Failed(error.to_string()))?;
        // Without a place for what was compiled, everything takes longer, and that is all.
        Ok(match artefacts() {
            Some(artefacts) => engine.with_artefacts(Arc::new(artefacts)),
            None => engine,
        })
    }

    /// Compiles and configures it.
    ///
    /// # Errors
    /// Why a gateway would not load it.
    pub(super) fn load(&self, engine: &Engine) -> Result<Plugin, LoadError> {
        engine.load(self.spec.clone())
    }

    /// The same with other limits.
    pub(super) fn with_limits(&self, change: impl FnOnce(&CallLimits) -> CallLimits) -> Self {
        let spec = PluginSpec { limits: change(&self.spec.limits), ..self.spec.clone() };
        Self { file: self.file.clone(), grants: self.grants.clone(), bytes: self.bytes, spec }
    }
}

/// What was compiled before, in the user's folder for such things.
fn artefacts() -> Option<ArtefactCache> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let caches = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from).or_else(home)?;
    std::fs::create_dir_all(&caches).ok()?;
    let folder = caches.join("forebay");
    let key = NodeKey::ensure(&folder).ok()?;
    ArtefactCache::open(&folder, &key, ARTEFACT_BYTES).ok()
}

/// The component that the plugin in `folder` is built to.
///
/// # Errors
/// `Usage`: no `plugin.toml`, or none that names a component.
pub(super) fn file_of(folder: &Path) -> Result<PathBuf, Failure> {
    let file = folder.join(PLUGIN_FILE);
    let which = Which { component: None, config: Some(file.clone()), name: None, grants: None };
    match which.read(&file)? {
        Read::Entry(entry) => entry.component.ok_or_else(|| usage(&file, "names no component")),
        Read::Own(_) => Err(usage(&file, "has no [[plugins]] entry")),
    }
}

/// A size for people.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..1_000_000 => format!("{} KB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| usage(file, error))
}

pub(super) fn usage(file: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("{}: {reason}", file.display()))
}
