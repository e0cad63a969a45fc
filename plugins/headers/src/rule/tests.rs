#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use forebay_plugin_sdk::assert_verdict;
use forebay_plugin_sdk::testing::{Request, Response};
use serde_json::json;

use super::*;

fn config(value: &serde_json::Value) -> Config {
    Config::parse(&value.to_string()).unwrap()
}

#[test]
fn requests_are_checked_and_edited() {
    let config = config(&json!({"request": {
        "require": ["X-Team"], "remove": ["x-debug"], "set": {"x-edge": "1"}, "default": {"accept": "*/*", "x-team": "never"}
    }}));
    assert_verdict!(config.on_request(&Request::get("/")), answer 400 "bad-request");
    assert_verdict!(config.on_request(&Request::get("/").header("x-team", "")), answer 400 "bad-request");
    let request = Request::get("/").header("x-team", "red").header("x-debug", "1").header("x-edge", "forged");
    assert_verdict!(config.on_request(&request), continue);
    let read = |name| request.text(name);
    assert_eq!((read("x-debug"), read("x-edge").as_deref()), (None, Some("1")));
    assert_eq!((read("accept").as_deref(), read("x-team").as_deref()), (Some("*/*"), Some("red")));
}

#[test]
fn a_preset_fills_what_nobody_set_and_leaves_what_was_removed() {
    let config = config(&json!({"preset": "api", "response": {"remove": ["server", "x-frame-options"]}}));
    let response = Response::new(200).header("server", "x").header("referrer-policy", "origin");
    config.on_response(&response);
    assert_eq!(response.text("x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(response.text("referrer-policy").as_deref(), Some("origin"));
    assert_eq!((response.text("server"), response.text("x-frame-options")), (None, None));
}

#[test]
fn nothing_configured_changes_nothing() {
    let config = config(&json!({}));
    let response = Response::new(200);
    config.on_response(&response);
    assert!(response.header_names().is_empty());
}

#[test]
fn mistakes_in_a_configuration_name_the_key() {
    for (text, key) in [
        (json!({"presets": "api"}), "presets"),
        (json!({"preset": "web"}), "preset"),
        (json!({"request": {"set": {"host": "x"}}}), "request.set.host"),
        (json!({"request": {"set": {"x-a": "a\r\nb"}}}), "request.set.x-a"),
        (json!({"request": {"remove": ["a b"]}}), "request.remove[0]"),
        (json!({"request": {"require": ["Authorization"]}}), "request.require[0]"),
        (json!({"response": {"require": ["x-a"]}}), "response.require"),
        (json!({"response": {"remove": ["content-encoding"]}}), "response: `content-encoding`"),
    ] {
        let error = Config::parse(&text.to_string()).expect_err(&text.to_string());
        assert!(error.contains(key), "{text}: {error}");
    }
}
