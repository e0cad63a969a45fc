//! The configuration: what is looked for, and where.

use forebay_plugin_sdk::config;
use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is looked for.
    pub patterns: Vec<Kind>,
    /// What else is looked for.
    pub custom: Vec<Custom>,
    /// What comes in its place; `{name}` is the pattern's name.
    pub replacement: String,
    /// Whether requests are redacted.
    pub requests: bool,
    /// Whether responses are redacted.
    pub responses: bool,
    /// What happens to bodies that are neither text nor JSON.
    pub other: Other,
    /// Where the events of a stream have their piece of one long text, by JSON Pointer: a match that is cut by the border of
    /// two events is found there.
    pub event_text: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            patterns: vec![Kind::Email, Kind::Phone, Kind::Card, Kind::Iban],
            custom: Vec::new(),
            replacement: "[{name}]".to_owned(),
            requests: true,
            responses: true,
            other: Other::Refuse,
            event_text: vec!["/choices/0/delta/content".to_owned(), "/choices/0/text".to_owned(), "/delta".to_owned()],
        }
    }
}

/// Data of a well-known form.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Addresses of electronic mail.
    Email,
    /// Telephone numbers: with `+` and country code, or as in North America.
    Phone,
    /// Numbers of payment cards whose check digit is right.
    Card,
    /// International bank account numbers whose check digits are right.
    Iban,
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// What happens to bodies that are neither text nor JSON.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Other {
    /// They are refused: nobody could look into them.
    #[default]
    Refuse,
    /// They pass as they are.
    Pass,
}

/// Data of a form of one's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custom {
    /// A name for the replacement and the metrics: lower-case letters, digits and `_`.
    pub name: String,
    /// A regular expression. A match that is longer than 256 bytes may be missed where a body is cut.
    pub pattern: String,
    #[serde(skip)]
    regex: Option<Regex>,
}

/// The most memory that a compiled pattern takes, in bytes.
const PATTERN_BYTES: usize = 256 * 1024;
/// Names in the metrics are few: each pattern is one.
const PATTERNS: usize = 24;
/// The longest replacement.
const REPLACEMENT_BYTES: usize = 64;

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config: Self = config::parse(text)?;
        if config.patterns.is_empty() && config.custom.is_empty() {
            return Err("patterns: must not be empty without custom ones".to_owned());
        }
        if config.custom.len() > PATTERNS {
            return Err(format!("custom: has more than {PATTERNS} entries"));
        }
        let plain = |c: char| (' '..='~').contains(&c) && !matches!(c, '"' | '\\');
        if !config.replacement.chars().all(plain) || config.replacement.len() > REPLACEMENT_BYTES {
            return Err(format!(
                "replacement: must be at most {REPLACEMENT_BYTES} printable ASCII characters without quotation marks and backslashes"
            ));
        }
        for (i, custom) in config.custom.iter_mut().enumerate() {
            custom.compile(&format!("custom[{i}]"))?;
        }
        match config.event_text.iter().position(|pointer| !pointer.starts_with('/')) {
            Some(i) => Err(format!("event_text[{i}]: must be a JSON Pointer such as /choices/0/delta/content")),
            None => Ok(config),
        }
    }

    /// Whether bodies of this media type may go through at all.
    #[must_use]
    pub fn takes(&self, media: Option<&str>) -> bool {
        self.other == Other::Pass || super::stream::Form::of(media).is_some()
    }

    pub(super) fn in_place_of(&self, name: &str) -> String {
        self.replacement.replace("{name}", name)
    }
}

impl Custom {
    fn compile(&mut self, at: &str) -> Result<(), String> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if self.name.is_empty() || self.name.len() > 32 || !self.name.bytes().all(legal) {
            return Err(format!("{at}.name: must be 1 to 32 lower-case letters, digits and `_`"));
        }
        let regex = RegexBuilder::new(&self.pattern).size_limit(PATTERN_BYTES).build();
        let regex = regex.map_err(|error| format!("{at}.pattern: {error}"))?;
        if regex.is_match("") {
            return Err(format!("{at}.pattern: matches where nothing is"));
        }
        self.regex = Some(regex);
        Ok(())
    }

    pub(super) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let found = self.regex.as_ref()?.find_at(text, from)?;
        Some((found.start(), found.end()))
    }
}
