//! The parts of the file about plugins and functions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// `[policy]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Calls of plugins at once, over all of them; bounded by `vm.max_map_count`.
    pub instances: u32,
    /// Requests inside functions at once, over all of them; at most 1,000.
    pub function_instances: u32,
    /// Tenants that the accounts of plugins tell apart in metrics; further ones are counted together.
    pub tenants: usize,
    /// Folder of what this node keeps about plugins: compiled artefacts, versions served, its key. Absent: nothing is kept.
    pub state_dir: Option<PathBuf>,
    /// Bytes of compiled plugins kept in `state_dir`; 0: none are.
    pub artefact_bytes: u64,
    /// PEM files of the Ed25519 keys that plugins must be signed with, by one of them. Empty: plugins need no signature.
    pub signers: Vec<PathBuf>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            instances: 1_000,
            function_instances: 256,
            tenants: 100,
            state_dir: None,
            artefact_bytes: 1024 * 1024 * 1024,
            signers: Vec::new(),
        }
    }
}

/// `[[plugins]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugin {
    /// Name that routes use.
    pub name: String,
    /// The component.
    pub component: PathBuf,
    /// SHA-256 that the component must have, in hexadecimal.
    pub sha256: Option<String>,
    /// Version that the component must be signed as. Absent: any that does not go back.
    pub version: Option<String>,
    /// Name that the component must be signed as. Absent: `name`.
    pub signed_name: Option<String>,
    /// Whether the version may be lower than one that was served before.
    pub allow_downgrade: bool,
    /// Interfaces it may import functions of.
    pub grants: Vec<String>,
    /// Names of the keys it may seal, open, sign and verify with.
    pub keys: Vec<String>,
    /// Counters and token buckets that it may have. Grant `counters`.
    pub counters: Option<usize>,
    /// Values that it may keep. Grant `key-value`.
    pub store_entries: Option<usize>,
    /// Bytes of keys and values that it may keep. Grant `key-value`.
    pub store_bytes: Option<usize>,
    /// Origins that it may send requests to: `https://host:port`, or `http://` on loopback. Grant `outbound`.
    pub origins: Vec<String>,
    /// Time that one of its requests may take.
    pub outbound_ms: Option<u64>,
    /// Bytes of an answer to one of its requests.
    pub outbound_bytes: Option<usize>,
    /// Requests of it under way at once.
    pub outbound_calls: Option<usize>,
    /// PEM roots for its `origins`. Absent: the public web's.
    pub outbound_ca: Option<PathBuf>,
    /// Models that it may ask. Grant `inference`.
    pub models: Vec<String>,
    /// Legal areas that it may ask models in, beside what the route allows. Empty: where the route's requests may go;
    /// on a route without inferences, where this node stands.
    pub jurisdictions: Vec<String>,
    /// File that its records are written to; beside this file unless it is absolute. Grant `journal`.
    pub journal: Option<PathBuf>,
    /// Bytes of that file, after which a new one is begun.
    pub journal_bytes: Option<u64>,
    /// Full files that are kept beside it.
    pub journal_files: Option<usize>,
    /// Time after which what was written is on disk.
    pub journal_sync_ms: Option<u64>,
    /// Bytes of records that may wait to be written; a longer one never has room.
    pub journal_queue_bytes: Option<usize>,
    /// Its own configuration, handed to `configure` as JSON.
    pub config: Option<toml::Table>,
    /// Computing time of one hook.
    pub deadline_ms: Option<u64>,
    /// Memory of one instance.
    pub memory_bytes: Option<usize>,
    /// Bytes of verdicts that are remembered, where it imports nothing but `http` and `identity`; 0: none are.
    pub memo_bytes: Option<usize>,
    /// Fresh instances that may wait for their call, for each hook; 0: each is made when it is needed.
    pub ready: Option<u32>,
    /// Calls of it at once; one more is refused. Absent: a quarter of `policy.instances`.
    pub instances: Option<u32>,
    /// Failures in a row after which it is not called for a while; 0: never.
    pub quarantine_after: Option<u32>,
    /// A candidate that runs beside it and decides nothing.
    pub shadow: Option<Shadow>,
}

/// `shadow` of a plugin
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shadow {
    /// The candidate's component.
    pub component: PathBuf,
    /// As the plugin's.
    pub sha256: Option<String>,
    /// As the plugin's.
    pub version: Option<String>,
    /// Its own configuration. Absent: the plugin's.
    pub config: Option<toml::Table>,
    /// How many of a hundred calls are compared.
    pub percent: Option<u8>,
    /// Whether it has the plugin's keys and its way out (grants `keys`, `outbound`) before it is promoted.
    pub effects: bool,
}

/// `[[functions]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Function {
    /// Name that routes use.
    pub name: String,
    /// The component, for `wasi:http` 0.2 or 0.3.
    pub component: PathBuf,
    /// As a plugin's.
    pub sha256: Option<String>,
    /// As a plugin's.
    pub version: Option<String>,
    /// As a plugin's.
    pub signed_name: Option<String>,
    /// As a plugin's.
    pub allow_downgrade: bool,
    /// What of the world it may import functions of: wasi-http, clocks, random, stdio.
    pub grants: Vec<String>,
    /// Origins that it may send requests to: `https://host:port`, or `http://` on loopback. Grant `wasi-http`.
    pub origins: Vec<String>,
    /// PEM roots for its `origins`. Absent: the public web's.
    pub outbound_ca: Option<PathBuf>,
    /// Its environment variables.
    pub env: BTreeMap<String, String>,
    /// Computing time for one request, its streams included.
    pub deadline_ms: Option<u64>,
    /// Time that an instance may live, to the last byte of its answer and the work after it.
    pub lifetime_ms: Option<u64>,
    /// Memory of one instance.
    pub memory_bytes: Option<usize>,
    /// Requests inside it at once; one more is refused. Absent: a quarter of `policy.function_instances`.
    pub instances: Option<u32>,
    /// Bytes of each body that enters or leaves it.
    pub body_bytes: Option<usize>,
    /// Failures in a row after which it is not asked for a while; 0: never.
    pub quarantine_after: Option<u32>,
}
