//! The configuration: digests of keys, and what their owners may.

use forebay_plugin_sdk::config;
use serde::Deserialize;

use super::date;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The field that carries the key.
    #[serde(default = "key_header")]
    pub header: String,
    /// The keys.
    pub keys: Vec<Key>,
    /// Whether a request with a verified token needs no key.
    #[serde(default)]
    pub or_token: bool,
    /// The realm named in `WWW-Authenticate`.
    #[serde(default = "realm")]
    pub realm: String,
    /// The field that tells the upstream the key's name.
    #[serde(default = "client_header")]
    pub client_header: String,
    /// The field that tells it the tenant.
    #[serde(default = "tenant_header")]
    pub tenant_header: String,
    /// The field that tells it the scopes.
    #[serde(default = "scopes_header")]
    pub scopes_header: String,
}

/// A key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Whose it is. Several keys may have one name, so that one can follow the other.
    pub name: String,
    /// SHA-256 of the key, in hexadecimal.
    pub sha256: String,
    /// The tenant that the upstream is told.
    pub tenant: Option<String>,
    /// The scopes that the upstream is told.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Routes it is for: names, `prefix*`, or `*`.
    #[serde(default = "config::anything")]
    pub routes: Vec<String>,
    /// Models it is for: names, `prefix*`, or `*`. A request without a model is matched by `*` alone.
    #[serde(default = "config::anything")]
    pub models: Vec<String>,
    /// When it ends: `2027-01-31` (the day's first moment) or `2027-01-31T12:00:00Z`. Absent: never.
    pub expires: Option<String>,
    #[serde(skip)]
    pub(super) digest: [u8; 32],
    #[serde(skip)]
    expires_ms: Option<u64>,
}

fn key_header() -> String {
    "x-api-key".to_owned()
}

fn realm() -> String {
    "forebay".to_owned()
}

fn client_header() -> String {
    "x-api-client".to_owned()
}

fn tenant_header() -> String {
    "x-api-tenant".to_owned()
}

fn scopes_header() -> String {
    "x-api-scopes".to_owned()
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config: Self = config::parse(text)?;
        let names = [("client_header", &config.client_header), ("tenant_header", &config.tenant_header)];
        for (key, name) in
            names.into_iter().chain([("scopes_header", &config.scopes_header), ("header", &config.header)])
        {
            config::check_field_name(key, name)?;
        }
        if config.owner_fields().iter().any(|name| name.eq_ignore_ascii_case(&config.header)) {
            return Err("header: is the name of a field that tells of the owner".to_owned());
        }
        let quotable = |b: u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\');
        if config.realm.is_empty() || !config.realm.bytes().all(quotable) {
            return Err("realm: must be printable ASCII without quotation marks and backslashes".to_owned());
        }
        if config.keys.is_empty() {
            return Err("keys: must not be empty".to_owned());
        }
        for (i, key) in config.keys.iter_mut().enumerate() {
            key.check(&format!("keys[{i}]"))?;
        }
        for (i, key) in config.keys.iter().enumerate() {
            if config.keys.iter().take(i).any(|other| other.digest == key.digest) {
                return Err(format!("keys[{i}].sha256: is the digest of another entry"));
            }
        }
        Ok(config)
    }

    /// The fields that tell the upstream of a key's owner.
    pub(super) fn owner_fields(&self) -> [&str; 3] {
        [&self.client_header, &self.tenant_header, &self.scopes_header]
    }

    /// RFC 9110, section 11.6.1, wants a challenge with a 401. The scheme is registered nowhere, as API keys are not.
    pub(super) fn challenge(&self) -> String {
        format!("ApiKey realm=\"{}\", header=\"{}\"", self.realm, self.header)
    }
}

impl Key {
    fn check(&mut self, at: &str) -> Result<(), String> {
        if self.name.is_empty() {
            return Err(format!("{at}.name: must not be empty"));
        }
        config::check_field_value(&format!("{at}.name"), &self.name)?;
        config::check_field_value(&format!("{at}.tenant"), self.tenant.as_deref().unwrap_or_default())?;
        config::check_field_value(&format!("{at}.scopes"), &self.scopes.join(" "))?;
        config::check_patterns(&format!("{at}.routes"), &self.routes)?;
        config::check_patterns(&format!("{at}.models"), &self.models)?;
        self.digest = digest(&self.sha256).ok_or_else(|| format!("{at}.sha256: must be 64 hexadecimal digits"))?;
        if let Some(text) = &self.expires {
            let ms = date::parse_ms(text)
                .ok_or_else(|| format!("{at}.expires: must be a date as 2027-01-31 or 2027-01-31T12:00:00Z"))?;
            self.expires_ms = Some(ms);
        }
        Ok(())
    }

    pub(super) fn is_in_time(&self, now_ms: u64) -> bool {
        self.expires_ms.is_none_or(|end_ms| now_ms < end_ms)
    }

    pub(super) fn is_for(&self, route: &str, model: Option<&str>) -> bool {
        config::matches(&self.routes, Some(route)) && config::matches(&self.models, model)
    }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(digest)
}
