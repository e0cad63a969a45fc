//! Paths under a prefix need an access token with a scope.
//!
//! This file is glue: it asks the host for what the rule needs and puts the rule's decision into a verdict. The decision
//! itself is in [`rule`].

use forebay_plugin_sdk::{OnRequest, Plugin, Request, Verdict, config, identity, plugin};

pub mod rule;

use rule::{Config, Decision, decide};

impl Plugin for Config {
    /// Runs once, when a gateway loads the plugin. Every call starts from what it returns.
    fn configure(text: &str) -> Result<Self, String> {
        let config: Self = config::parse(text)?;
        config.check()?;
        Ok(config)
    }
}

impl OnRequest for Config {
    fn on_request(&self, request: &Request) -> Verdict {
        let scopes = identity::verify().is_ok().then(|| identity::text("/scope").unwrap_or_default());
        match decide(self, &request.path(), scopes.as_deref()) {
            Decision::Allow => {
                request.set("x-checked-by", "{{name}}");
                Verdict::Continue
            }
            Decision::Unknown => Verdict::unauthenticated("this path needs an access token", "Bearer"),
            Decision::Forbid => Verdict::forbid(&format!("this path needs the scope {}", self.scope)),
        }
    }
}

plugin!(Config: on_request);

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_plugin_sdk::assert_verdict;
    use forebay_plugin_sdk::testing::Request;
    use serde_json::json;

    fn plugin() -> Config {
        Config::configure(r#"{"prefix": "/v2/", "scope": "infer"}"#).unwrap()
    }

    #[test]
    fn a_verdict_says_what_is_lacking() {
        let open = Request::get("/v2/models").claims(json!({"scope": "read infer"}));
        assert_verdict!(plugin().on_request(&open), continue);
        assert_eq!(open.text("x-checked-by").as_deref(), Some("{{name}}"));
        let closed = Request::get("/v2/models").claims(json!({"scope": "read"}));
        assert_verdict!(plugin().on_request(&closed), answer 403 "forbidden");
    }

    #[test]
    fn a_configuration_with_a_mistake_is_refused() {
        for text in ["", "{}", r#"{"scope": ""}"#, r#"{"scope": "a b"}"#, r#"{"scope": "a", "prefx": "/"}"#, "scope"] {
            assert!(Config::configure(text).is_err(), "{text}");
        }
    }
}
