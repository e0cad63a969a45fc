//! What is written, and the chain it is written into.
//!
//! A request leaves a record when it comes and one when it is answered, whoever answers it: the plugin stands before all
//! others, and is shown refusals too. A record has the hash of the one before it, so none can be changed, left out or
//! put in without a break, and a MAC of its own hash, so no one without the node's key can make a whole chain anew.

mod chain;
mod late;
mod record;
mod verify;

use forebay_plugin_sdk::{Request, Verdict, clock, config, identity, journal, keys};
use serde::Deserialize;

use record::{Content, Record};
pub use verify::{Fault, verify};

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the key that records are signed with.
    pub key: String,
    /// What happens to a request whose record cannot be written now.
    #[serde(default)]
    pub on_full: OnFull,
}

/// What happens to a request whose record cannot be written now.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum OnFull {
    /// It is refused with 503.
    #[default]
    Refuse,
    /// It passes. Its record may be missing, which the chain shows.
    Allow,
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = config::parse(text)?;
        if config.key.is_empty() { Err("key: must not be empty".to_owned()) } else { Ok(config) }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request came.
    Asked,
    /// It is answered with this status.
    Answered(u16),
}

/// The purpose that keeps these signatures apart from any other use of the key.
pub(crate) const PURPOSE: &str = "audit-record";

/// Why there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The journal or the store has no room, or cannot be reached, or too many write at once.
    NotNow,
    /// The node has no such key for this plugin: no record will ever be right.
    NoKey,
}

/// Writes a record.
#[must_use]
pub fn write(config: &Config, request: &Request, event: Event) -> Verdict {
    match append(config, request, event) {
        Ok(()) => Verdict::Continue,
        Err(Broken::NotNow) if config.on_full == OnFull::Allow => Verdict::Continue,
        Err(_) => Verdict::cannot_decide("this request cannot be recorded now"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn append(config: &Config, request: &Request, event: Event) -> Result<(), Broken> {
    late::write()?;
    let content = Content::of(request, identity::tenant().as_deref(), event, clock::now_ms());
    let record: Record = chain::append(&content)?;
    let mac = keys::sign(&config.key, PURPOSE, record.hash.as_bytes()).map_err(|_| Broken::NoKey)?;
    let line = record.line(&hex(&mac));
    if journal::append(&line).is_err() {
        // Its place is taken, and others may stand behind it by now: it is written later, or there would be a gap.
        late::keep(&line)?;
        return Err(Broken::NotNow);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
