//! What is written, and the chain it is written into.
//!
//! A request leaves a record when it comes and one when it is answered. One that is refused on the way has the first alone:
//! the plugin stands before all others. A record has the hash of the one before it, so none can be changed, left out or
//! put in without a break, and a MAC of its own hash, so no one without the node's key can make a whole chain anew.

mod chain;
mod record;
mod verify;

use forebay_plugin_sdk::{Request, Verdict, clock, config, identity, keys, log};
use serde::Deserialize;

use chain::Broken;
use record::{Content, Record};
pub use verify::{Fault, verify};

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the key that records are signed with.
    pub key: String,
    /// What happens to a request that cannot be recorded.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What happens to a request that cannot be recorded.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It is refused with 503.
    #[default]
    Refuse,
    /// It passes, and a line says so.
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

/// Writes a record.
#[must_use]
pub fn write(config: &Config, request: &Request, event: Event) -> Verdict {
    match append(config, request, event) {
        Ok(line) => {
            log::info(&line);
            Verdict::Continue
        }
        Err(_) if config.on_failure == OnFailure::Allow => {
            log::warn("a record could not be written");
            Verdict::Continue
        }
        Err(_) => Verdict::cannot_decide("this request cannot be recorded now"),
    }
}

/// How much of a MAC is written (RFC 2104, section 5: half of it is enough): a line of the log is short.
const MAC_BYTES: usize = 16;

/// Hexadecimal, in which the log finds nothing that looks like a token.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn append(config: &Config, request: &Request, event: Event) -> Result<String, Broken> {
    let content = Content::of(request, identity::tenant().as_deref(), event, clock::now_ms());
    let record: Record = chain::append(&content)?;
    let mac = keys::sign(&config.key, PURPOSE, record.hash.as_bytes()).map_err(|_| Broken)?;
    Ok(record.line(&hex(mac.get(..MAC_BYTES).unwrap_or(&mac))))
}

#[cfg(test)]
mod tests;
