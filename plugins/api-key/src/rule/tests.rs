#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use forebay_plugin_sdk::assert_verdict;
use forebay_plugin_sdk::testing::{self, Request};
use proptest::prelude::{any, prop_assert_ne, proptest};
use serde_json::{Value, json};

use super::*;

fn hex(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn config(change: &Value) -> Config {
    let mut config = json!({"keys": [
        {"name": "batch", "sha256": hex("k-batch"), "tenant": "acme", "scopes": ["infer", "read"], "routes": ["oip"]},
        {"name": "old", "sha256": hex("k-old").to_uppercase(), "expires": "2026-02-01"},
    ]});
    config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    Config::parse(&config.to_string()).unwrap()
}

#[test]
fn a_known_key_comes_in_and_its_owner_is_told_to_the_upstream() {
    let request = Request::post("/x").route("oip").header("x-api-key", "k-batch").header("x-api-tenant", "forged");
    assert_verdict!(decide(&config(&json!({})), &request), continue);
    let told = |name| request.text(name);
    assert_eq!(told("x-api-key"), None);
    assert_eq!(told("x-api-client").as_deref(), Some("batch"));
    assert_eq!(told("x-api-tenant").as_deref(), Some("acme"));
    assert_eq!(told("x-api-scopes").as_deref(), Some("infer read"));
}

#[test]
fn no_key_and_a_wrong_key_are_challenged() {
    let missing = assert_verdict!(decide(&config(&json!({})), &Request::get("/")), answer 401 "missing-credentials");
    assert_eq!(missing.headers.first().unwrap().value, r#"ApiKey realm="forebay", header="x-api-key""#);
    for wrong in ["", "k-batch ", "k-batch, k-batch", &"k".repeat(300)] {
        let request = Request::get("/").route("oip").header("x-api-key", wrong);
        assert_verdict!(decide(&config(&json!({})), &request), answer 401 "invalid-token");
    }
}

#[test]
fn a_key_has_its_routes_and_its_time() {
    let other = Request::get("/").route("admin").header("x-api-key", "k-batch");
    assert_verdict!(decide(&config(&json!({})), &other), answer 403 "forbidden");
    let old = || Request::get("/").header("x-api-key", "k-old");
    assert_verdict!(decide(&config(&json!({})), &old()), continue);
    testing::set_time_ms(1_769_904_000_000);
    assert_verdict!(decide(&config(&json!({})), &old()), answer 401 "invalid-token");
}

#[test]
fn a_token_is_enough_where_it_says_so_and_no_claims_of_a_key_come_with_it() {
    let request = || Request::get("/").claims(json!({"sub": "ada"})).header("x-api-client", "forged");
    assert_verdict!(decide(&config(&json!({})), &request()), answer 401 "missing-credentials");
    let request = request();
    assert_verdict!(decide(&config(&json!({"or_token": true})), &request), continue);
    assert_eq!(request.text("x-api-client"), None);
    assert_verdict!(decide(&config(&json!({"or_token": true})), &Request::get("/")), answer 401 "missing-credentials");
}

#[test]
fn mistakes_in_a_configuration_name_the_key() {
    let key = |change: Value| {
        let mut key = json!({"name": "a", "sha256": hex("a")});
        key.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "keys": [key] })
    };
    for (text, at) in [
        (json!({"keys": []}), "keys"),
        (key(json!({"sha256": "abc"})), "keys[0].sha256"),
        (key(json!({"name": ""})), "keys[0].name"),
        (key(json!({"name": "a\r\nb"})), "keys[0].name"),
        (key(json!({"expires": "tomorrow"})), "keys[0].expires"),
        (key(json!({"key": "plain"})), "keys[0].key"),
        (json!({"header": "authorization", "keys": [{"name": "a", "sha256": hex("a")}]}), "header"),
        (json!({"header": "x-api-client", "keys": [{"name": "a", "sha256": hex("a")}]}), "header"),
        (json!({"keys": [{"name": "a", "sha256": hex("a")}, {"name": "b", "sha256": hex("a")}]}), "keys[1].sha256"),
    ] {
        let error = Config::parse(&text.to_string()).expect_err(&text.to_string());
        assert!(error.contains(at), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn no_other_text_is_a_key(text in any::<String>()) {
        let request = Request::get("/").route("oip").header("x-api-key", &text);
        prop_assert_ne!(decide(&config(&json!({})), &request), Verdict::Continue);
    }
}
