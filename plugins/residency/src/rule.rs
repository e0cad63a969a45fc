//! The decision: in which legal areas a request may be answered.
//!
//! Every source that applies narrows what the one before left. Nothing widens what the route allows: the host sees to that.

use std::collections::BTreeMap;

use forebay_plugin_sdk::{Request, Verdict, config, identity};
use serde::Deserialize;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to look, all of them.
    pub sources: Vec<Source>,
}

/// A claim or a header field that names a place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The claim, by JSON Pointer; a string.
    pub claim: Option<String>,
    /// The header field.
    pub header: Option<String>,
    /// Routes that it is for: names, `prefix*`, or `*`.
    #[serde(default = "config::anything")]
    pub routes: Vec<String>,
    /// What each value means: the areas that may answer. No area at all means that no restriction comes of it.
    pub areas: BTreeMap<String, Vec<String>>,
    /// What it means that the claim or field is not there.
    #[serde(default)]
    pub absent: Absent,
}

/// What it means that there is no value.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Absent {
    /// The request is refused with 403.
    #[default]
    Refuse,
    /// It comes to no restriction.
    Allow,
    /// It means the same as this value.
    As(String),
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = config::parse(text)?;
        if config.sources.is_empty() {
            return Err("sources: must not be empty".to_owned());
        }
        config.sources.iter().enumerate().try_for_each(|(i, source)| source.check(&format!("sources[{i}]")))?;
        Ok(config)
    }
}

impl Source {
    fn check(&self, at: &str) -> Result<(), String> {
        match (&self.claim, &self.header) {
            (Some(claim), None) if claim.starts_with('/') => {}
            (Some(_), None) => return Err(format!("{at}.claim: must be a JSON Pointer such as /region")),
            (None, Some(header)) if config::is_token(header) => {}
            (None, Some(_)) => return Err(format!("{at}.header: is not a field name")),
            _ => return Err(format!("{at}: must have either claim or header")),
        }
        config::check_patterns(&format!("{at}.routes"), &self.routes)?;
        if self.areas.is_empty() {
            return Err(format!("{at}.areas: must not be empty"));
        }
        if self.areas.values().flatten().any(String::is_empty) {
            return Err(format!("{at}.areas: an area must not be empty"));
        }
        match &self.absent {
            Absent::As(value) if !self.areas.contains_key(value) => {
                Err(format!("{at}.absent: is not one of the areas' keys"))
            }
            _ => Ok(()),
        }
    }

    fn value(&self, request: &Request) -> Option<String> {
        match (&self.claim, &self.header) {
            (Some(pointer), _) => identity::text(pointer),
            (None, Some(name)) => request.text(name).map(|value| value.trim().to_owned()),
            (None, None) => None,
        }
    }
}

/// Decides.
#[must_use]
pub fn decide(config: &Config, request: &Request) -> Verdict {
    let route = request.route();
    for source in config.sources.iter().filter(|source| config::matches(&source.routes, Some(&route))) {
        let value = match (source.value(request), &source.absent) {
            (Some(value), _) => value,
            (None, Absent::As(value)) => value.clone(),
            (None, Absent::Allow) => continue,
            (None, Absent::Refuse) => return Verdict::forbid("this request does not say where it may be answered"),
        };
        match source.areas.get(&value) {
            None => return Verdict::forbid("this request names a place that is not known here"),
            Some(areas) if areas.is_empty() => {}
            Some(areas) => request.restrict_jurisdictions(areas),
        }
    }
    Verdict::Continue
}

#[cfg(test)]
mod tests;
