//! The decision: is this identity allowed to use this route and model?
//!
//! The first rule that matches the route and the model decides. No rule, no access.

mod claims;
mod config;

use forebay_plugin_sdk::identity::{self, Absence};
use forebay_plugin_sdk::{Request, Verdict};

pub use claims::Condition;
use claims::Words;
pub use config::{Config, Rule};

/// Decides.
#[must_use]
pub fn decide(config: &Config, request: &Request) -> Verdict {
    if let Err(absence) = identity::verify() {
        return unauthenticated(&config.realm, absence);
    }
    let (route, model) = (request.route(), request.model());
    let Some(rule) = config.rules.iter().find(|rule| rule.is_for(&route, model.as_deref())) else {
        return Verdict::forbid("no rule allows this route and model");
    };
    if rule.tenants.as_ref().is_some_and(|tenants| !identity::tenant().is_some_and(|tenant| tenants.contains(&tenant)))
    {
        return Verdict::forbid("this tenant may not use this route and model");
    }
    if rule.audiences.as_ref().is_some_and(|allowed| !Words::of(identity::claim("/aud")).any_of(allowed)) {
        return Verdict::forbid("the access token was issued for another service");
    }
    if !rule.scopes.is_empty() && !scopes().all_of(&rule.scopes) {
        return insufficient_scope(&config.realm, &rule.scopes);
    }
    if !rule.claims.iter().all(|condition| condition.holds(identity::value(&condition.pointer).as_ref())) {
        return Verdict::forbid("the access token does not say what this route and model need");
    }
    Verdict::Continue
}

/// The scopes of a token: `scope` (RFC 8693, section 4.2), or `scp`, which some issuers write instead.
fn scopes() -> Words {
    Words::split(identity::claim("/scope").or_else(|| identity::claim("/scp")))
}

fn unauthenticated(realm: &str, absence: Absence) -> Verdict {
    let invalid = |detail: &str| {
        let challenge = format!("Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"{detail}\"");
        Verdict::answer(401, "invalid-token", detail).header("www-authenticate", &challenge)
    };
    match absence {
        // RFC 6750, section 3.1: no error code when the request has no authentication information.
        Absence::Missing => {
            Verdict::unauthenticated("this route needs an access token", &format!("Bearer realm=\"{realm}\""))
        }
        Absence::Expired => invalid("the access token has expired"),
        // Which check failed is for the log, not for whoever sent the token.
        _ => invalid("the access token is not valid here"),
    }
}

fn insufficient_scope(realm: &str, needed: &[String]) -> Verdict {
    let needed = needed.join(" ");
    let challenge = format!("Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{needed}\"");
    Verdict::forbid("the access token lacks a scope that this route and model need")
        .header("www-authenticate", &challenge)
}

#[cfg(test)]
mod tests;
