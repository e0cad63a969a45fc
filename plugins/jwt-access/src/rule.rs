//! The decision: is this identity allowed to use this route and model?
//!
//! The first rule that matches the route and the model decides. No rule, no access.

use serde::Deserialize;
use serde_json::Value;

/// The plugin's configuration: JSON, unknown keys refused.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The realm named in `WWW-Authenticate`.
    #[serde(default = "default_realm")]
    pub realm: String,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// Who may use some routes and models.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Routes it is for: names, `prefix*`, or `*`.
    #[serde(default = "anything")]
    pub routes: Vec<String>,
    /// Models it is for: names, `prefix*`, or `*`. A request without a model is matched by `*` alone.
    #[serde(default = "anything")]
    pub models: Vec<String>,
    /// Scopes that a token needs, all of them. Empty: any verified identity.
    pub scopes: Vec<String>,
    /// Tenants that are let in. Absent: all.
    pub tenants: Option<Vec<String>>,
    /// Audiences of which a token needs one. Absent: whatever the host accepted.
    pub audiences: Option<Vec<String>>,
}

fn default_realm() -> String {
    "forebay".to_owned()
}

fn anything() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let config: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| error.to_string())?;
        json.end().map_err(|error| error.to_string())?;
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
        self.rules.iter().enumerate().try_for_each(|(i, rule)| rule.check().map_err(|why| format!("rules[{i}].{why}")))
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        let lists = [
            ("routes", Some(&self.routes)),
            ("models", Some(&self.models)),
            ("tenants", self.tenants.as_ref()),
            ("audiences", self.audiences.as_ref()),
        ];
        for (key, list) in lists {
            if list.is_some_and(|list| list.is_empty() || list.iter().any(String::is_empty)) {
                return Err(format!("{key}: must not be empty, nor hold an empty name"));
            }
        }
        for (key, patterns) in [("routes", &self.routes), ("models", &self.models)] {
            // A rule that matches nothing would leave the decision to the ones after it.
            let inner = |pattern: &&String| pattern.strip_suffix('*').unwrap_or(pattern).contains('*');
            if let Some(pattern) = patterns.iter().find(inner) {
                return Err(format!("{key}: in `{}`, `*` may only stand at the end", pattern.escape_debug()));
            }
        }
        // RFC 6749, section 3.3: a scope token is printable ASCII without space, quotation mark and backslash.
        let legal = |scope: &String| !scope.is_empty() && scope.bytes().all(|b| b != b' ' && is_quotable(b));
        match self.scopes.iter().find(|scope| !legal(scope)) {
            Some(scope) => Err(format!("scopes: `{}` is not a scope", scope.escape_debug())),
            None => Ok(()),
        }
    }

    fn is_for(&self, asked: &Asked) -> bool {
        let route = self.routes.iter().any(|pattern| matches(pattern, &asked.route));
        let model = match &asked.model {
            Some(model) => self.models.iter().any(|pattern| matches(pattern, model)),
            None => self.models.iter().any(|pattern| pattern == "*"),
        };
        route && model
    }
}

fn is_quotable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// A name, a prefix before `*`, or `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// What is asked for.
#[derive(Debug)]
pub struct Asked {
    /// The route that the request took.
    pub route: String,
    /// The model, on an inference route.
    pub model: Option<String>,
}

/// Why there is no verified identity, as far as the answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// No token came.
    Missing,
    /// Its time is over.
    Expired,
    /// Anything else. Which check failed is for the log, not for whoever sent the token.
    Invalid,
}

/// Who is asking. Each question is asked of the host when it is needed.
pub trait Identity {
    /// Whether there is a verified identity.
    ///
    /// # Errors
    /// Why there is none.
    fn verify(&self) -> Result<(), Absence>;
    /// A claim by JSON Pointer, as JSON text.
    fn claim(&self, pointer: &str) -> Option<String>;
    /// The tenant.
    fn tenant(&self) -> Option<String>;
}

/// What the rule says.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it through.
    Allow,
    /// Answer the client.
    Refuse(Refusal),
}

/// A refusal (RFC 6750, section 3).
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 401 or 403.
    pub status: u16,
    /// The slug of the problem type.
    pub problem: &'static str,
    /// One sentence for the client.
    pub detail: &'static str,
    /// The value of `WWW-Authenticate`.
    pub challenge: Option<String>,
}

/// Decides.
pub fn decide(config: &Config, asked: &Asked, identity: &dyn Identity) -> Decision {
    if let Err(absence) = identity.verify() {
        return Decision::Refuse(unauthenticated(&config.realm, absence));
    }
    let Some(rule) = config.rules.iter().find(|rule| rule.is_for(asked)) else {
        return Decision::Refuse(forbidden("no rule allows this route and model"));
    };
    if rule.tenants.as_ref().is_some_and(|tenants| !identity.tenant().is_some_and(|tenant| tenants.contains(&tenant))) {
        return Decision::Refuse(forbidden("this tenant may not use this route and model"));
    }
    if rule.audiences.as_ref().is_some_and(|allowed| !words(identity.claim("/aud"), false).any_of(allowed)) {
        return Decision::Refuse(forbidden("the access token was issued for another service"));
    }
    if !rule.scopes.is_empty() && !scopes(identity).all_of(&rule.scopes) {
        return Decision::Refuse(insufficient_scope(&config.realm, &rule.scopes));
    }
    Decision::Allow
}

/// A set of words from a claim.
struct Words(Vec<String>);

impl Words {
    fn any_of(&self, allowed: &[String]) -> bool {
        allowed.iter().any(|word| self.0.contains(word))
    }

    fn all_of(&self, needed: &[String]) -> bool {
        needed.iter().all(|word| self.0.contains(word))
    }
}

/// The scopes of a token: `scope` (RFC 8693, section 4.2), or `scp`, which some issuers write instead.
fn scopes(identity: &dyn Identity) -> Words {
    words(identity.claim("/scope").or_else(|| identity.claim("/scp")), true)
}

/// The words of a claim that is a string or an array of strings. Anything else has none.
fn words(claim: Option<String>, split: bool) -> Words {
    let value = claim.and_then(|text| serde_json::from_str(&text).ok());
    Words(match value {
        Some(Value::String(text)) if split => text.split(' ').map(str::to_owned).collect(),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items
            .into_iter()
            .filter_map(|item| match item {
                Value::String(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    })
}

fn unauthenticated(realm: &str, absence: Absence) -> Refusal {
    let invalid = |detail: &'static str| Refusal {
        status: 401,
        problem: "invalid-token",
        detail,
        challenge: Some(format!("Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"{detail}\"")),
    };
    match absence {
        // RFC 6750, section 3.1: no error code when the request has no authentication information.
        Absence::Missing => Refusal {
            status: 401,
            problem: "missing-credentials",
            detail: "this route needs an access token",
            challenge: Some(format!("Bearer realm=\"{realm}\"")),
        },
        Absence::Expired => invalid("the access token has expired"),
        Absence::Invalid => invalid("the access token is not valid here"),
    }
}

fn forbidden(detail: &'static str) -> Refusal {
    Refusal { status: 403, problem: "forbidden", detail, challenge: None }
}

fn insufficient_scope(realm: &str, needed: &[String]) -> Refusal {
    Refusal {
        challenge: Some(format!(
            "Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{}\"",
            needed.join(" ")
        )),
        ..forbidden("the access token lacks a scope that this route and model need")
    }
}

#[cfg(test)]
mod tests;
