//! The host as tests set it up. It belongs to the thread, and each test of Rust's harness has its own.
//!
//! ```
//! use forebay_plugin_sdk::testing::{self, Request};
//! use forebay_plugin_sdk::identity;
//! use serde_json::json;
//!
//! let request = Request::get("/v2/models/minilm/infer").header("x-team", "red").claims(json!({"sub": "ada"}));
//! assert_eq!(request.text("x-team").as_deref(), Some("red"));
//! assert_eq!(identity::text("/sub").as_deref(), Some("ada"));
//! testing::set_time_ms(60_000);
//! ```
//!
//! The doubles stand in for the host in native tests alone. What a component does in a real host is for a test that
//! loads it (`forebay plugin try`).

pub(crate) mod heads;
pub(crate) mod keys;
pub(crate) mod message;
pub(crate) mod outside;
pub(crate) mod part;
pub(crate) mod stores;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::counters::CounterError;
use crate::identity::Absence;
use crate::journal::JournalError;
use crate::key_value::StoreError;
use crate::log::Level;

pub use heads::{RequestBuilder as Request, ResponseBuilder as Response, TrailersBuilder as Trailers};
pub use message::MessageBuilder as Message;
pub use outside::{answer_inference, answer_outbound, sent};
pub use part::PartBuilder as Part;

/// What the double of the host knows and remembers.
pub(crate) struct Host {
    pub(crate) request: heads::Request,
    pub(crate) claims: Result<Value, Absence>,
    pub(crate) tenant: Option<String>,
    pub(crate) notes: BTreeMap<String, Vec<u8>>,
    pub(crate) now_ms: u64,
    pub(crate) seed: u64,
    pub(crate) lines: Vec<(Level, String)>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) observed: BTreeMap<String, Vec<f64>>,
    pub(crate) stores: stores::Stores,
    pub(crate) outside: outside::Outside,
    pub(crate) keys: Vec<String>,
    pub(crate) records: Vec<String>,
    pub(crate) journal_error: Option<JournalError>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            request: heads::Request::default(),
            claims: Err(Absence::Missing),
            tenant: None,
            notes: BTreeMap::new(),
            // 1 January 2026.
            now_ms: 1_767_225_600_000,
            seed: 0,
            lines: Vec::new(),
            counts: BTreeMap::new(),
            observed: BTreeMap::new(),
            stores: stores::Stores::default(),
            outside: outside::Outside::default(),
            keys: Vec::new(),
            records: Vec::new(),
            journal_error: None,
        }
    }
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Asks this thread's host.
pub(crate) fn with<T>(ask: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(ask)
}

/// Puts a new host in place of this thread's.
pub fn reset() {
    drop(HOST.take());
}

/// Sets the clock, in milliseconds since 1970. It stands still until it is set again.
pub fn set_time_ms(now_ms: u64) {
    with(|host| host.now_ms = now_ms);
}

/// Lets time pass.
pub fn advance_ms(by_ms: u64) {
    with(|host| host.now_ms = host.now_ms.saturating_add(by_ms));
}

/// Sets the seed of the random numbers that come.
pub fn set_seed(seed: u64) {
    with(|host| host.seed = seed);
}

/// The names of the keys that the plugin may use.
pub fn allow_keys(names: &[&str]) {
    with(|host| host.keys = names.iter().map(|name| (*name).to_owned()).collect());
}

/// Has every call of `counters` end with this error, or with none again.
pub fn fail_counters(error: Option<CounterError>) {
    with(|host| host.stores.counter_error = error);
}

/// Has every call of `key_value` end with this error, or with none again.
pub fn fail_key_value(error: Option<StoreError>) {
    with(|host| host.stores.store_error = error);
}

/// Has every call of `journal` end with this error, or with none again.
pub fn fail_journal(error: Option<JournalError>) {
    with(|host| host.journal_error = error);
}

/// The records that the journal took so far.
#[must_use]
pub fn records() -> Vec<String> {
    with(|host| host.records.clone())
}

/// The log lines written so far.
#[must_use]
pub fn lines() -> Vec<(Level, String)> {
    with(|host| host.lines.clone())
}

/// What was counted under a name so far.
#[must_use]
pub fn counted(name: &str) -> u64 {
    with(|host| host.counts.get(name).copied().unwrap_or_default())
}

/// The values that were noted under a name so far.
#[must_use]
pub fn observed(name: &str) -> Vec<f64> {
    with(|host| host.observed.get(name).cloned().unwrap_or_default())
}
