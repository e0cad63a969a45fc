//! The decision: which fields a head must have, and which it is to have.

use std::collections::BTreeMap;

use forebay_plugin_sdk::{Request, Response, Verdict, config};
use serde::Deserialize;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Fields of responses that are there when nobody else set them.
    pub preset: Preset,
    /// What happens to requests.
    pub request: Edits,
    /// What happens to responses.
    pub response: Edits,
}

/// A set of fields for responses.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// None.
    #[default]
    None,
    /// What an interface for programs should say, which is never a page.
    Api,
    /// What pages should say, as far as it can be said of all.
    Site,
}

/// What happens to a head. In this order: requirements are checked, fields removed, fields set, defaults added.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edits {
    /// Fields without which a request is refused with 400. For requests only.
    pub require: Vec<String>,
    /// Fields that are removed.
    pub remove: Vec<String>,
    /// Fields that are set, whatever they were.
    pub set: BTreeMap<String, String>,
    /// Fields that are set where they are not there.
    pub default: BTreeMap<String, String>,
}

const API: [(&str, &str); 6] = [
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
];

const SITE: [(&str, &str); 5] = [
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "SAMEORIGIN"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// The most edits of one head: what the host allows.
const EDITS: usize = 64;

impl Preset {
    fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::None => &[],
            Self::Api => &API,
            Self::Site => &SITE,
        }
    }
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = config::parse(text)?;
        config.request.check("request")?;
        config.response.check("response")?;
        if !config.response.require.is_empty() {
            return Err("response.require: is for requests only".to_owned());
        }
        let response = &config.response;
        if response
            .set
            .keys()
            .chain(response.default.keys())
            .chain(&response.remove)
            .any(|name| name.eq_ignore_ascii_case("content-encoding"))
        {
            return Err("response: `content-encoding` is not a plugin's to set or remove".to_owned());
        }
        Ok(config)
    }

    /// Checks and edits the head of a request.
    #[must_use]
    pub fn on_request(&self, request: &Request) -> Verdict {
        for name in &self.request.require {
            if request.header(name).is_none_or(|value| value.is_empty()) {
                return Verdict::bad_request(&format!("the header field `{name}` must be there"));
            }
        }
        for name in &self.request.remove {
            request.remove_header(name);
        }
        for (name, value) in &self.request.set {
            request.set(name, value);
        }
        for (name, value) in &self.request.default {
            if request.header(name).is_none() {
                request.set(name, value);
            }
        }
        Verdict::Continue
    }

    /// Edits the head of a response.
    pub fn on_response(&self, response: &Response) {
        for name in &self.response.remove {
            response.remove_header(name);
        }
        for (name, value) in &self.response.set {
            response.set(name, value);
        }
        let configured = self.response.default.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in configured.chain(self.preset.fields().iter().copied()) {
            let removed = self.response.remove.iter().any(|one| one.eq_ignore_ascii_case(name));
            if !removed && response.header(name).is_none() {
                response.set(name, value);
            }
        }
    }
}

impl Edits {
    fn check(&self, at: &str) -> Result<(), String> {
        for (key, names) in [("require", &self.require), ("remove", &self.remove)] {
            for (i, name) in names.iter().enumerate() {
                let at = format!("{at}.{key}[{i}]");
                if key == "remove" {
                    config::check_field_name(&at, name)?;
                } else if !config::is_token(name) || name.eq_ignore_ascii_case("authorization") {
                    return Err(format!("{at}: `{}` is not a field that a plugin can read", name.escape_debug()));
                }
            }
        }
        for (key, fields) in [("set", &self.set), ("default", &self.default)] {
            for (name, value) in fields {
                config::check_field_name(&format!("{at}.{key}.{name}"), name)?;
                config::check_field_value(&format!("{at}.{key}.{name}"), value)?;
            }
        }
        let count = self.remove.len() + self.set.len() + self.default.len() + API.len();
        if count > EDITS { Err(format!("{at}: more than {EDITS} edits, with the preset's")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
