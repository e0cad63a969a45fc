//! The configuration: rules, in order.

use forebay_plugin_sdk::config;
use serde::Deserialize;

use super::Condition;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The realm named in `WWW-Authenticate`.
    #[serde(default = "default_realm")]
    pub realm: String,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// Who may use some routes and models.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Routes it is for: names, `prefix*`, or `*`.
    #[serde(default = "config::anything")]
    pub routes: Vec<String>,
    /// Models it is for: names, `prefix*`, or `*`. A request without a model is matched by `*` alone.
    #[serde(default = "config::anything")]
    pub models: Vec<String>,
    /// Scopes that a token needs, all of them. Empty: any verified identity.
    pub scopes: Vec<String>,
    /// Tenants that are let in. Absent: all.
    pub tenants: Option<Vec<String>>,
    /// Audiences of which a token needs one. Absent: whatever the host accepted.
    pub audiences: Option<Vec<String>>,
    /// What claims must say, all of them.
    #[serde(default)]
    pub claims: Vec<Condition>,
}

fn default_realm() -> String {
    "forebay".to_owned()
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = config::parse(text)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.realm.is_empty() || !self.realm.bytes().all(is_quotable) {
            return Err("realm: must be printable ASCII without quotation marks and backslashes".to_owned());
        }
        if self.rules.is_empty() {
            return Err("rules: must not be empty, since no rule means no access".to_owned());
        }
        self.rules.iter().enumerate().try_for_each(|(i, rule)| rule.check(&format!("rules[{i}]")))
    }
}

impl Rule {
    fn check(&self, at: &str) -> Result<(), String> {
        // A rule that matches nothing would leave the decision to the ones after it.
        config::check_patterns(&format!("{at}.routes"), &self.routes)?;
        config::check_patterns(&format!("{at}.models"), &self.models)?;
        for (key, list) in [("tenants", &self.tenants), ("audiences", &self.audiences)] {
            if list.as_ref().is_some_and(|list| list.is_empty() || list.iter().any(String::is_empty)) {
                return Err(format!("{at}.{key}: must not be empty, nor hold an empty name"));
            }
        }
        // RFC 6749, section 3.3: a scope token is printable ASCII without space, quotation mark and backslash.
        let legal = |scope: &String| !scope.is_empty() && scope.bytes().all(|b| b != b' ' && is_quotable(b));
        if let Some(scope) = self.scopes.iter().find(|scope| !legal(scope)) {
            return Err(format!("{at}.scopes: `{}` is not a scope", scope.escape_debug()));
        }
        self.claims.iter().enumerate().try_for_each(|(i, claim)| claim.check(&format!("{at}.claims[{i}]")))
    }

    pub(super) fn is_for(&self, route: &str, model: Option<&str>) -> bool {
        config::matches(&self.routes, Some(route)) && config::matches(&self.models, model)
    }
}

fn is_quotable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}
