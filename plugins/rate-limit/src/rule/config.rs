//! The configuration: limits, all of which hold.

use forebay_plugin_sdk::config;
use serde::Deserialize;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The limits.
    pub limits: Vec<Limit>,
    /// What happens to a request that cannot be counted.
    #[serde(default)]
    pub on_unavailable: Unavailable,
    /// Whether `RateLimit` and `RateLimit-Policy` tell clients what is left.
    #[serde(default = "yes")]
    pub fields: bool,
}

/// One limit: a token bucket for each partition.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Its name, which clients read: letters, digits, `-` and `_`.
    pub name: String,
    /// What has a bucket of its own: `subject`, `tenant`, `model`, `route`, `peer`, or a claim by JSON Pointer. Several: each
    /// combination. None: one bucket for all.
    #[serde(default)]
    pub by: Vec<String>,
    /// Routes it is for: names, `prefix*`, or `*`.
    #[serde(default = "config::anything")]
    pub routes: Vec<String>,
    /// Models it is for: names, `prefix*`, or `*`. A request without a model is matched by `*` alone.
    #[serde(default = "config::anything")]
    pub models: Vec<String>,
    /// How many requests may come at once.
    pub capacity: u64,
    /// How many may come in a minute, evenly, for good.
    pub per_minute: u64,
    /// What one request costs.
    #[serde(default = "one")]
    pub tokens: u64,
}

/// What happens to a request that cannot be counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Unavailable {
    /// It is refused with 503.
    #[default]
    Refuse,
    /// It passes.
    Allow,
}

fn yes() -> bool {
    true
}

fn one() -> u64 {
    1
}

/// The most limits: each costs a call of the host, and fields of an answer are bounded.
const LIMITS: usize = 16;
/// The largest number of a structured field (RFC 9651, section 3.3.1).
const NUMBER: u64 = 999_999_999_999_999;

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = config::parse(text)?;
        if config.limits.is_empty() || config.limits.len() > LIMITS {
            return Err(format!("limits: must have between 1 and {LIMITS} entries"));
        }
        for (i, limit) in config.limits.iter().enumerate() {
            limit.check(&format!("limits[{i}]"))?;
            if config.limits.iter().take(i).any(|other| other.name == limit.name) {
                return Err(format!("limits[{i}].name: `{}` is the name of another limit", limit.name));
            }
        }
        Ok(config)
    }
}

impl Limit {
    fn check(&self, at: &str) -> Result<(), String> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if self.name.is_empty() || self.name.len() > 32 || !self.name.bytes().all(legal) {
            return Err(format!("{at}.name: must be 1 to 32 letters, digits, `-` and `_`"));
        }
        for (i, by) in self.by.iter().enumerate() {
            let known = matches!(by.as_str(), "subject" | "tenant" | "model" | "route" | "peer");
            if !known && !by.starts_with('/') {
                return Err(format!("{at}.by[{i}]: must be subject, tenant, model, route, peer, or a JSON Pointer"));
            }
        }
        config::check_patterns(&format!("{at}.routes"), &self.routes)?;
        config::check_patterns(&format!("{at}.models"), &self.models)?;
        for (key, number) in [("capacity", self.capacity), ("per_minute", self.per_minute), ("tokens", self.tokens)] {
            if number == 0 || number > NUMBER {
                return Err(format!("{at}.{key}: must be at least 1"));
            }
        }
        if self.tokens > self.capacity {
            return Err(format!("{at}.tokens: more than the capacity, so no request would pass"));
        }
        Ok(())
    }

    pub(super) fn is_for(&self, route: &str, model: Option<&str>) -> bool {
        config::matches(&self.routes, Some(route)) && config::matches(&self.models, model)
    }
}
