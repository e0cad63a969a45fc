#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use proptest::prelude::{any, prop_assert_ne, proptest};

/// An identity from JSON claims; the tenant is the claim `tenant`.
struct Claims(Result<Value, Absence>);

impl Identity for Claims {
    fn verify(&self) -> Result<(), Absence> {
        self.0.as_ref().map(|_| ()).map_err(|absence| *absence)
    }

    fn claim(&self, pointer: &str) -> Option<String> {
        self.0.as_ref().ok()?.pointer(pointer).map(Value::to_string)
    }

    fn tenant(&self) -> Option<String> {
        Some(self.0.as_ref().ok()?.get("tenant")?.as_str()?.to_owned())
    }
}

fn claims(value: Value) -> Claims {
    Claims(Ok(value))
}

fn config(text: &str) -> Config {
    Config::parse(text).unwrap()
}

fn asked(route: &str, model: Option<&str>) -> Asked {
    Asked { route: route.to_owned(), model: model.map(str::to_owned) }
}

fn refusal(decision: Decision) -> Refusal {
    match decision {
        Decision::Refuse(refusal) => refusal,
        Decision::Allow => panic!("allowed"),
    }
}

const INFER: &str = r#"{"realm":"demo","rules":[{"routes":["oip"],"models":["mini*"],"scopes":["infer"]}]}"#;

#[test]
fn a_token_with_every_scope_is_let_in() {
    let config = config(r#"{"rules":[{"scopes":["infer","read"]}]}"#);
    let asked = asked("oip", Some("minilm"));
    for token in [
        serde_json::json!({"scope": "read infer admin"}),
        serde_json::json!({"scp": ["infer", "read"]}),
        serde_json::json!({"scp": "infer read"}),
    ] {
        assert_eq!(decide(&config, &asked, &claims(token)), Decision::Allow);
    }
    for token in [
        serde_json::json!({}),
        serde_json::json!({"scope": "infer"}),
        serde_json::json!({"scope": "inferred read"}),
        serde_json::json!({"scope": "infer", "scp": ["read"]}),
        serde_json::json!({"scope": 7}),
        serde_json::json!({"scope": {"infer": true, "read": true}}),
    ] {
        assert_eq!(refusal(decide(&config, &asked, &claims(token))).status, 403);
    }
}

#[test]
fn the_challenges_are_those_of_rfc_6750() {
    let config = config(INFER);
    let asked = asked("oip", Some("minilm"));
    let missing = refusal(decide(&config, &asked, &Claims(Err(Absence::Missing))));
    assert_eq!((missing.status, missing.problem), (401, "missing-credentials"));
    assert_eq!(missing.challenge.as_deref(), Some(r#"Bearer realm="demo""#));

    let expired = refusal(decide(&config, &asked, &Claims(Err(Absence::Expired))));
    assert_eq!((expired.status, expired.problem), (401, "invalid-token"));
    assert_eq!(
        expired.challenge.as_deref(),
        Some(r#"Bearer realm="demo", error="invalid_token", error_description="the access token has expired""#)
    );

    let unscoped = refusal(decide(&config, &asked, &claims(serde_json::json!({}))));
    assert_eq!((unscoped.status, unscoped.problem), (403, "forbidden"));
    assert_eq!(
        unscoped.challenge.as_deref(),
        Some(r#"Bearer realm="demo", error="insufficient_scope", scope="infer""#)
    );
}

#[test]
fn the_first_rule_that_matches_decides() {
    let config =
        config(r#"{"rules":[{"models":["secret"],"scopes":["secret"]},{"routes":["oip","admin-*"],"scopes":[]}]}"#);
    let token = claims(serde_json::json!({"scope": "infer"}));
    assert_eq!(refusal(decide(&config, &asked("oip", Some("secret")), &token)).status, 403);
    assert_eq!(decide(&config, &asked("oip", Some("minilm")), &token), Decision::Allow);
    assert_eq!(decide(&config, &asked("admin-x", None), &token), Decision::Allow);
    assert_eq!(refusal(decide(&config, &asked("openai", Some("minilm")), &token)).problem, "forbidden");
}

#[test]
fn a_request_without_a_model_needs_a_rule_for_any() {
    let token = claims(serde_json::json!({"scope": "infer"}));
    assert_eq!(refusal(decide(&config(INFER), &asked("oip", None), &token)).status, 403);
}

#[test]
fn tenants_and_audiences_narrow_a_rule() {
    let config = config(r#"{"rules":[{"scopes":[],"tenants":["acme"],"audiences":["forebay"]}]}"#);
    let asked = asked("oip", None);
    let allowed = serde_json::json!({"tenant": "acme", "aud": ["other", "forebay"]});
    assert_eq!(decide(&config, &asked, &claims(allowed)), Decision::Allow);
    for token in [
        serde_json::json!({"tenant": "globex", "aud": "forebay"}),
        serde_json::json!({"aud": "forebay"}),
        serde_json::json!({"tenant": "acme"}),
        serde_json::json!({"tenant": "acme", "aud": "forebay other"}),
    ] {
        assert_eq!(refusal(decide(&config, &asked, &claims(token))).status, 403);
    }
}

#[test]
fn mistakes_in_a_configuration_name_the_key() {
    for (text, key) in [
        (r#"{"rules":[{"scopes":["infer"],"model":["x"]}]}"#, "rules[0].model"),
        (r#"{"rules":[{"scopes":"infer"}]}"#, "rules[0].scopes"),
        (r#"{"rules":[{}]}"#, "scopes"),
        (r#"{"rules":[]}"#, "rules"),
        (r#"{}"#, "rules"),
        (r#"{"realm":"a\"b","rules":[{"scopes":[]}]}"#, "realm"),
        (r#"{"rules":[{"scopes":["a b"]}]}"#, "rules[0].scopes"),
        (r#"{"rules":[{"scopes":[],"tenants":[]}]}"#, "rules[0].tenants"),
        (r#"{"rules":[{"scopes":[],"routes":["o*p"]}]}"#, "rules[0].routes: in `o*p`, `*` may only stand at the end"),
        (r#"{"rules":[{"scopes":[],"models":["ok","*lm"]}]}"#, "rules[0].models"),
        (r#"{"rules":[{"scopes":[],"models":["mini**"]}]}"#, "rules[0].models"),
        (r#"{"rules":[{"scopes":[]}]} x"#, "trailing"),
    ] {
        let error = Config::parse(text).expect_err(text);
        assert!(error.contains(key), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn nothing_is_let_in_by_an_odd_scope_claim(claim in any::<String>()) {
        struct Odd(String);
        impl Identity for Odd {
            fn verify(&self) -> Result<(), Absence> {
                Ok(())
            }
            fn claim(&self, _: &str) -> Option<String> {
                Some(self.0.clone())
            }
            fn tenant(&self) -> Option<String> {
                None
            }
        }
        let config = config(r#"{"rules":[{"scopes":["a-scope-nobody-draws"]}]}"#);
        prop_assert_ne!(decide(&config, &asked("r", None), &Odd(claim)), Decision::Allow);
    }
}
