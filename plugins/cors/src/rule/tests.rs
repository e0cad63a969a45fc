#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use forebay_plugin_sdk::testing::{Request, Response};
use forebay_plugin_sdk::{Answer, assert_verdict};

use super::*;

fn config(text: &str) -> Config {
    Config::parse(text).unwrap()
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

fn preflight(origin: &str) -> Request {
    Request::new("OPTIONS", "/x").header("origin", origin).header("access-control-request-method", "PUT")
}

const APP: &str = r#"{"origins":["https://app.example.com","https://*.example.org"],"credentials":true,
    "methods":["PUT"],"headers":["content-type","x-a"],"expose":["etag"]}"#;

#[test]
fn a_preflight_of_an_allowed_origin_is_answered() {
    let answer = assert_verdict!(config(APP).on_request(&preflight("https://app.example.com")), answer 200);
    assert_eq!(answer.problem, None);
    assert_eq!(field(&answer, "access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(field(&answer, "access-control-allow-credentials"), Some("true"));
    assert_eq!(field(&answer, "access-control-allow-methods"), Some("PUT"));
    assert_eq!(field(&answer, "access-control-allow-headers"), Some("content-type, x-a"));
    assert_eq!(field(&answer, "access-control-max-age"), Some("3600"));
    assert!(field(&answer, "vary").unwrap().starts_with("Origin"));
}

#[test]
fn a_preflight_of_another_origin_is_refused_without_a_word_on_cors() {
    let answer = assert_verdict!(config(APP).on_request(&preflight("https://evil.example")), answer 403 "forbidden");
    assert!(answer.headers.iter().all(|header| !header.name.starts_with("access-control")));
}

#[test]
fn what_is_no_preflight_goes_on() {
    let config = config(APP);
    for request in [
        Request::new("OPTIONS", "/x").header("origin", "https://app.example.com"),
        Request::new("OPTIONS", "/x").header("access-control-request-method", "PUT"),
        Request::get("/x").header("origin", "https://evil.example"),
        Request::get("/x"),
    ] {
        assert_verdict!(config.on_request(&request), continue);
    }
    let strict = Config { refuse_others: true, ..config };
    let other = Request::get("/x").header("origin", "https://evil.example");
    assert_verdict!(strict.on_request(&other), answer 403 "forbidden");
}

#[test]
fn a_response_says_who_may_read_it_and_that_it_varies() {
    let config = config(APP);
    let response = Response::new(200).header("vary", "Accept").header("access-control-allow-origin", "*");
    config.on_response(Some("https://a.b.example.org"), &response);
    assert_eq!(response.text("access-control-allow-origin").as_deref(), Some("https://a.b.example.org"));
    assert_eq!(response.text("access-control-expose-headers").as_deref(), Some("etag"));
    assert_eq!(response.text("vary").as_deref(), Some("Accept, Origin"));
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let response = Response::new(200).header("access-control-allow-origin", "*").header("vary", "origin");
        config.on_response(origin, &response);
        assert_eq!(response.text("access-control-allow-origin"), None);
        assert_eq!(response.text("vary").as_deref(), Some("origin"));
    }
}

#[test]
fn any_origin_is_a_star_and_varies_by_nothing() {
    let config = config(r#"{"origins":["*"]}"#);
    let response = Response::new(200);
    config.on_response(Some("https://x.example"), &response);
    assert_eq!(response.text("access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!((response.text("vary"), response.text("access-control-allow-credentials")), (None, None));
}

#[test]
fn patterns_do_not_let_neighbours_in() {
    let config = config(r#"{"origins":["https://*.example.org"]}"#);
    for (origin, allowed) in [
        ("https://a.example.org", true),
        ("https://example.org", false),
        ("http://a.example.org", false),
        ("https://a.example.org:8443", false),
        ("https://evil-example.org", false),
        ("https://a.example.org.evil.com", false),
        ("https://evil.com/.example.org", false),
        ("https://.example.org", false),
        ("https://user@a.example.org", false),
    ] {
        assert_eq!(config.allows(origin), allowed, "{origin}");
    }
}

#[test]
fn mistakes_in_a_configuration_name_the_key() {
    for (text, key) in [
        (r#"{"origins":[]}"#, "origins"),
        (r#"{"origins":["app.example.com"]}"#, "origins[0]"),
        (r#"{"origins":["https://app.example.com/"]}"#, "origins[0]"),
        (r#"{"origins":["https://App.example.com"]}"#, "origins[0]"),
        (r#"{"origins":["https://app.example.com:443"]}"#, "origins[0]"),
        (r#"{"origins":["https://*.com"]}"#, "origins[0]"),
        (r#"{"origins":["*"],"credentials":true}"#, "origins"),
        (r#"{"origins":["null"],"credentials":true,"headers":["*"]}"#, "headers"),
        (r#"{"origins":["*"],"methods":["a b"]}"#, "methods[0]"),
        (r#"{"origins":["*"],"max_age_s":90000}"#, "max_age_s"),
        (r#"{"origins":["*"],"max_age":1}"#, "max_age"),
    ] {
        let error = Config::parse(text).expect_err(text);
        assert!(error.contains(key), "{text}: {error}");
    }
}
