//! The configuration: bounds and patterns.

use forebay_plugin_sdk::config;
use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The largest body, in bytes.
    pub max_bytes: u64,
    /// The longest prompt, all of its texts together, in characters.
    pub max_chars: u64,
    /// The most texts: messages, parts of messages, inputs.
    pub max_parts: u64,
    /// What a prompt must not hold.
    pub deny: Vec<Deny>,
    /// Where texts are beside the usual places: JSON Pointers in which a token `*` stands for each.
    pub pointers: Vec<String>,
    /// What happens to bodies that are not JSON.
    pub other: Other,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: 1_048_576,
            max_chars: 100_000,
            max_parts: 256,
            deny: Vec::new(),
            pointers: Vec::new(),
            other: Other::Refuse,
        }
    }
}

/// What happens to bodies that are not JSON.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Other {
    /// They are refused with 415: nobody could look into them.
    #[default]
    Refuse,
    /// They pass.
    Pass,
}

/// What a prompt must not hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    /// A name for the metrics: lower-case letters, digits and `_`.
    pub name: String,
    /// A regular expression, without regard to case. It sees the texts with one space wherever there is white space, and
    /// without characters that have no width.
    pub pattern: String,
    #[serde(skip)]
    regex: Option<Regex>,
}

/// The most memory that a compiled pattern takes, in bytes.
const PATTERN_BYTES: usize = 256 * 1024;
/// Names in the metrics are few: each pattern is one.
const PATTERNS: usize = 24;

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config: Self = config::parse(text)?;
        if config.deny.len() > PATTERNS {
            return Err(format!("deny: has more than {PATTERNS} entries"));
        }
        for (i, deny) in config.deny.iter_mut().enumerate() {
            deny.compile(&format!("deny[{i}]"))?;
        }
        match config.pointers.iter().position(|pointer| !pointer.starts_with('/')) {
            Some(i) => Err(format!("pointers[{i}]: must be a JSON Pointer such as /question or /items/*/text")),
            None => Ok(config),
        }
    }
}

impl Deny {
    fn compile(&mut self, at: &str) -> Result<(), String> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if self.name.is_empty() || self.name.len() > 32 || !self.name.bytes().all(legal) {
            return Err(format!("{at}.name: must be 1 to 32 lower-case letters, digits and `_`"));
        }
        let regex = RegexBuilder::new(&self.pattern).case_insensitive(true).size_limit(PATTERN_BYTES).build();
        let regex = regex.map_err(|error| format!("{at}.pattern: {error}"))?;
        if regex.is_match("") {
            return Err(format!("{at}.pattern: matches nothing at all, and so every prompt"));
        }
        self.regex = Some(regex);
        Ok(())
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}
