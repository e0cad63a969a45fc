//! Plugins and functions, as the program believes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use forebay_policy::Capability;
use forebay_wasi_http::{Grant, Origin};
use semver::Version;
use url::Url;

/// What a node keeps about plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyState {
    pub(crate) folder: PathBuf,
    pub(crate) artefact_bytes: u64,
}

/// What a component must be, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) version: Option<Version>,
    pub(crate) signed_name: String,
    pub(crate) allow_downgrade: bool,
}

/// A policy component and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    pub(crate) name: String,
    pub(crate) component: PathBuf,
    pub(crate) trust: Trust,
    pub(crate) grants: BTreeSet<Capability>,
    pub(crate) keys: BTreeSet<String>,
    /// Counters and token buckets.
    pub(crate) counters: usize,
    pub(crate) store: Quota,
    pub(crate) outbound: Outbound,
    /// Models that it may ask.
    pub(crate) models: BTreeSet<String>,
    /// Legal areas that it may ask them in; empty: no rule of its own.
    pub(crate) jurisdictions: Vec<String>,
    /// Where its records are written; there when they are granted.
    pub(crate) journal: Option<Journal>,
    pub(crate) config: String,
    pub(crate) deadline: Option<Duration>,
    pub(crate) memory_bytes: Option<usize>,
    pub(crate) memo_bytes: Option<usize>,
    pub(crate) ready: Option<u32>,
    pub(crate) instances: Option<u32>,
    pub(crate) quarantine_after: Option<u32>,
    pub(crate) shadow: Option<Shadow>,
}

impl Plugin {
    /// Whether a version that was loaded by this entry may do just what one loaded by `other` may: the two differ in what
    /// is loaded alone.
    pub(crate) fn stands_for(&self, other: &Self) -> bool {
        let powers = |entry: &Self| Self {
            component: PathBuf::new(),
            trust: other.trust.clone(),
            config: String::new(),
            shadow: None,
            ..entry.clone()
        };
        powers(self) == powers(other)
    }

    /// What the configuration would say of the candidate in the plugin's place.
    pub(crate) fn candidate(&self, shadow: &Shadow) -> Self {
        Self {
            component: shadow.component.clone(),
            trust: shadow.trust.clone(),
            config: shadow.config.clone(),
            shadow: None,
            ..self.clone()
        }
    }
}

/// A candidate for a plugin's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    pub(crate) component: PathBuf,
    pub(crate) trust: Trust,
    pub(crate) config: String,
    /// How many of a hundred calls are compared.
    pub(crate) percent: u8,
    /// Whether it has the plugin's keys and its way out.
    pub(crate) effects: bool,
}

/// What a plugin may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Entries.
    pub(crate) entries: usize,
    /// Bytes of keys and values.
    pub(crate) bytes: usize,
}

/// Where and how a plugin's records are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    pub(crate) file: PathBuf,
    /// After which a new file is begun.
    pub(crate) file_bytes: u64,
    /// Full files that are kept.
    pub(crate) files: usize,
    /// Between writing and being on disk.
    pub(crate) sync: Duration,
    /// Of records that wait to be written.
    pub(crate) queue_bytes: usize,
}

/// Where a plugin may send requests, and how much they may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Scheme, host and port of each.
    pub(crate) origins: Vec<Url>,
    /// For one request and its answer.
    pub(crate) time: Duration,
    pub(crate) answer_bytes: usize,
    /// At once.
    pub(crate) calls: usize,
    /// PEM roots; absent: the public web's.
    pub(crate) ca: Option<PathBuf>,
}

/// A component for `wasi:http` and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub(crate) name: String,
    pub(crate) component: PathBuf,
    pub(crate) trust: Trust,
    pub(crate) grants: BTreeSet<Grant>,
    pub(crate) origins: Vec<Origin>,
    /// PEM roots for them; absent: the public web's.
    pub(crate) outbound_ca: Option<PathBuf>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) memory_bytes: Option<usize>,
    pub(crate) body_bytes: Option<usize>,
    pub(crate) instances: Option<u32>,
    pub(crate) quarantine_after: Option<u32>,
}
