#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use forebay_plugin_sdk::assert_verdict;
use forebay_plugin_sdk::testing::Request;
use proptest::prelude::{any, prop_assert_ne, proptest};
use serde_json::{Value, json};

use super::*;

fn config(text: &str) -> Config {
    Config::parse(text).unwrap()
}

/// What `config` says to a request on route `oip` for model `minilm` with these claims.
fn with(config: &Config, claims: Value) -> Verdict {
    decide(config, &Request::post("/x").route("oip").model("minilm").claims(claims))
}

fn challenge(answer: &forebay_plugin_sdk::Answer) -> &str {
    let header = answer.headers.first().unwrap();
    assert_eq!(header.name, "www-authenticate");
    &header.value
}

const INFER: &str = r#"{"realm":"demo","rules":[{"routes":["oip"],"models":["mini*"],"scopes":["infer"]}]}"#;

#[test]
fn a_token_with_every_scope_is_let_in() {
    let config = config(r#"{"rules":[{"scopes":["infer","read"]}]}"#);
    for token in [json!({"scope": "read infer admin"}), json!({"scp": ["infer", "read"]}), json!({"scp": "infer read"})]
    {
        assert_verdict!(with(&config, token), continue);
    }
    for token in [
        json!({}),
        json!({"scope": "infer"}),
        json!({"scope": "inferred read"}),
        json!({"scope": "infer", "scp": ["read"]}),
        json!({"scope": 7}),
        json!({"scope": {"infer": true, "read": true}}),
    ] {
        assert_verdict!(with(&config, token), answer 403 "forbidden");
    }
}

#[test]
fn the_challenges_are_those_of_rfc_6750() {
    let config = config(INFER);
    let request = || Request::post("/x").route("oip").model("minilm");
    let missing = assert_verdict!(decide(&config, &request()), answer 401 "missing-credentials");
    assert_eq!(challenge(&missing), r#"Bearer realm="demo""#);

    let expired = decide(&config, &request().absent(Absence::Expired));
    let expired = assert_verdict!(expired, answer 401 "invalid-token");
    assert_eq!(
        challenge(&expired),
        r#"Bearer realm="demo", error="invalid_token", error_description="the access token has expired""#
    );

    let unscoped = assert_verdict!(with(&config, json!({})), answer 403 "forbidden");
    assert_eq!(challenge(&unscoped), r#"Bearer realm="demo", error="insufficient_scope", scope="infer""#);
}

#[test]
fn which_check_failed_is_not_told() {
    let config = config(INFER);
    let verdict = |absence| decide(&config, &Request::post("/x").absent(absence));
    assert_eq!(verdict(Absence::BadSignature), verdict(Absence::UnknownIssuer));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let config =
        config(r#"{"rules":[{"models":["secret"],"scopes":["secret"]},{"routes":["oip","admin-*"],"scopes":[]}]}"#);
    let ask = |route: &str, model: Option<&str>| {
        let request = Request::post("/x").route(route).claims(json!({"scope": "infer"}));
        let request = match model {
            Some(model) => request.model(model),
            None => request,
        };
        decide(&config, &request)
    };
    assert_verdict!(ask("oip", Some("secret")), answer 403 "forbidden");
    assert_verdict!(ask("oip", Some("minilm")), continue);
    assert_verdict!(ask("admin-x", None), continue);
    assert_verdict!(ask("openai", Some("minilm")), answer 403 "forbidden");
}

#[test]
fn a_request_without_a_model_needs_a_rule_for_any() {
    let request = Request::post("/x").route("oip").claims(json!({"scope": "infer"}));
    assert_verdict!(decide(&config(INFER), &request), answer 403 "forbidden");
}

#[test]
fn tenants_and_audiences_narrow_a_rule() {
    let config = config(r#"{"rules":[{"scopes":[],"tenants":["acme"],"audiences":["forebay"]}]}"#);
    assert_verdict!(with(&config, json!({"tenant": "acme", "aud": ["other", "forebay"]})), continue);
    for token in [
        json!({"tenant": "globex", "aud": "forebay"}),
        json!({"aud": "forebay"}),
        json!({"tenant": "acme"}),
        json!({"tenant": "acme", "aud": "forebay other"}),
    ] {
        assert_verdict!(with(&config, token), answer 403 "forbidden");
    }
}

#[test]
fn claims_narrow_a_rule() {
    let says = |test: Value, claims: Value| {
        let mut condition = json!({"pointer": "/x"});
        condition.as_object_mut().unwrap().extend(test.as_object().unwrap().clone());
        let config = config(&json!({"rules": [{"scopes": [], "claims": [condition]}]}).to_string());
        with(&config, claims) == Verdict::Continue
    };
    for (test, claims, holds) in [
        (json!({"equals": true}), json!({"x": true}), true),
        (json!({"equals": true}), json!({"x": "true"}), false),
        (json!({"one_of": ["gold", 7]}), json!({"x": 7}), true),
        (json!({"one_of": ["gold", 7]}), json!({"x": ["gold"]}), false),
        (json!({"contains": "admin"}), json!({"x": ["user", "admin"]}), true),
        (json!({"contains": "admin"}), json!({"x": "admin"}), false),
        (json!({"any_of": ["a", "b"]}), json!({"x": ["b", "c"]}), true),
        (json!({"any_of": ["a", "b"]}), json!({"x": ["c"]}), false),
        (json!({"all_of": ["a", "b"]}), json!({"x": ["b", "a", "c"]}), true),
        (json!({"all_of": ["a", "b"]}), json!({"x": ["b"]}), false),
        (json!({"exists": true}), json!({"x": null}), true),
        (json!({"exists": true}), json!({}), false),
        (json!({"exists": false}), json!({}), true),
        (json!({"any_of": ["a"]}), json!({}), false),
    ] {
        assert_eq!(says(test.clone(), claims.clone()), holds, "{test} {claims}");
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
        (
            r#"{"rules":[{"scopes":[],"routes":["o*p"]}]}"#,
            "rules[0].routes[0]: in `o*p`, `*` may only stand at the end",
        ),
        (r#"{"rules":[{"scopes":[],"models":["ok","*lm"]}]}"#, "rules[0].models[1]"),
        (r#"{"rules":[{"scopes":[],"models":["mini**"]}]}"#, "rules[0].models"),
        (r#"{"rules":[{"scopes":[],"claims":[{"pointer":"x","exists":true}]}]}"#, "rules[0].claims[0].pointer"),
        (r#"{"rules":[{"scopes":[],"claims":[{"pointer":"/x"}]}]}"#, "rules[0].claims[0]: must have one of"),
        (r#"{"rules":[{"scopes":[],"claims":[{"pointer":"/x","exists":true,"equals":1}]}]}"#, "rules[0].claims[0]"),
        (r#"{"rules":[{"scopes":[],"claims":[{"pointer":"/x","any_of":[]}]}]}"#, "rules[0].claims[0].any_of"),
        (r#"{"rules":[{"scopes":[]}]} x"#, "trailing"),
    ] {
        let error = Config::parse(text).expect_err(text);
        assert!(error.contains(key), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn nothing_is_let_in_by_an_odd_scope_claim(claim in any::<String>()) {
        let config = config(r#"{"rules":[{"scopes":["a-scope-nobody-draws"]}]}"#);
        for claims in [json!({"scope": claim}), json!({"scp": [claim]}), json!({"scope": {"x": claim}})] {
            prop_assert_ne!(with(&config, claims), Verdict::Continue);
        }
    }
}
