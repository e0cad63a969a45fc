#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use forebay_plugin_sdk::counters::CounterError;
use forebay_plugin_sdk::testing::{self, Request, Response};
use forebay_plugin_sdk::{Answer, assert_verdict};
use proptest::prelude::{prop_assert, proptest};
use serde_json::json;

use super::*;

fn config(limits: &serde_json::Value) -> Config {
    Config::parse(&json!({ "limits": limits }).to_string()).unwrap()
}

fn of(tenant: &str) -> Request {
    Request::post("/x").claims(json!({"tenant": tenant, "sub": "ada", "iss": "https://issuer"}))
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

#[test]
fn a_bucket_refuses_when_it_is_empty_and_fills_with_time() {
    let config = config(&json!([{"name": "tenant", "by": ["tenant"], "capacity": 2, "per_minute": 60}]));
    assert_verdict!(on_request(&config, &of("acme")), continue);
    assert_verdict!(on_request(&config, &of("acme")), continue);
    let answer = assert_verdict!(on_request(&config, &of("acme")), answer 429 "too-many-requests");
    assert_eq!(field(&answer, "retry-after"), Some("1"));
    assert_eq!(field(&answer, "ratelimit-policy"), Some(r#""tenant";q=2;w=2"#));
    assert_eq!(field(&answer, "ratelimit"), Some(r#""tenant";r=0;t=1"#));
    assert_verdict!(on_request(&config, &of("globex")), continue);
    testing::advance_ms(1_000);
    assert_verdict!(on_request(&config, &of("acme")), continue);
}

#[test]
fn the_tightest_of_several_limits_is_told_on_the_response() {
    let config = config(&json!([
        {"name": "all", "capacity": 100, "per_minute": 6000},
        {"name": "subject", "by": ["subject", "model"], "capacity": 10, "per_minute": 10},
    ]));
    assert_verdict!(on_request(&config, &of("acme")), continue);
    let response = Response::new(200);
    on_response(&response);
    assert_eq!(response.text("ratelimit-policy").as_deref(), Some(r#""all";q=100;w=1, "subject";q=10;w=60"#));
    assert_eq!(response.text("ratelimit").as_deref(), Some(r#""subject";r=9;t=6"#));
}

#[test]
fn a_limit_is_for_its_routes_and_models() {
    let config = config(&json!([{"name": "m", "models": ["big-*"], "capacity": 1, "per_minute": 1}]));
    for _ in 0..3 {
        assert_verdict!(on_request(&config, &Request::post("/x").model("small")), continue);
        assert_verdict!(on_request(&config, &Request::post("/x")), continue);
    }
    assert_verdict!(on_request(&config, &Request::post("/x").model("big-1")), continue);
    assert_verdict!(on_request(&config, &Request::post("/x").model("big-2")), answer 429 "too-many-requests");
}

#[test]
fn what_cannot_be_counted_is_refused_unless_it_says_otherwise() {
    let text = |also: &str| format!(r#"{{"limits":[{{"name":"a","capacity":1,"per_minute":1}}]{also}}}"#);
    testing::fail_counters(Some(CounterError::Unavailable));
    let closed = Config::parse(&text("")).unwrap();
    assert_verdict!(on_request(&closed, &of("acme")), answer 503 "policy-failed");
    let open = Config::parse(&text(r#","on_unavailable":"allow""#)).unwrap();
    assert_verdict!(on_request(&open, &of("acme")), continue);
}

#[test]
fn addresses_are_limited_by_network() {
    let config = config(&json!([{"name": "peer", "by": ["peer"], "capacity": 1, "per_minute": 1}]));
    let from = |peer: &str| on_request(&config, &Request::get("/").peer(peer));
    assert_verdict!(from("2001:db8::1"), continue);
    assert_verdict!(from("2001:db8::ffff:1"), answer 429 "too-many-requests");
    assert_verdict!(from("2001:db8:0:1::1"), continue);
    assert_verdict!(from("192.0.2.1"), continue);
    assert_verdict!(from("::ffff:192.0.2.1"), answer 429 "too-many-requests");
}

#[test]
fn mistakes_in_a_configuration_name_the_key() {
    let limit = |change: serde_json::Value| {
        let mut limit = json!({"name": "a", "capacity": 1, "per_minute": 1});
        limit.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "limits": [limit] })
    };
    for (text, key) in [
        (json!({"limits": []}), "limits"),
        (limit(json!({"name": "a b"})), "limits[0].name"),
        (limit(json!({"by": ["user"]})), "limits[0].by[0]"),
        (limit(json!({"capacity": 0})), "limits[0].capacity"),
        (limit(json!({"tokens": 2})), "limits[0].tokens"),
        (limit(json!({"routes": []})), "limits[0].routes"),
        (limit(json!({"burst": 2})), "limits[0].burst"),
    ] {
        let error = Config::parse(&text.to_string()).expect_err(&text.to_string());
        assert!(error.contains(key), "{text}: {error}");
    }
    let twice = json!({"limits": [{"name": "a", "capacity": 1, "per_minute": 1}, {"name": "a", "capacity": 1, "per_minute": 1}]});
    assert!(Config::parse(&twice.to_string()).unwrap_err().contains("limits[1].name"));
}

proptest! {
    /// Two different callers never share a bucket, however their names are made.
    #[test]
    fn partitions_never_run_into_each_other(a in "[|:0-9a-c-]{0,300}", b in "[|:0-9a-c-]{0,8}", c in "[|:0-9a-c-]{0,300}") {
        let limit = &config(&json!([{"name": "l", "by": ["tenant", "/x"], "capacity": 1, "per_minute": 1}])).limits[0];
        let key = |tenant: &str, claim: &str| {
            let request = Request::get("/").claims(json!({"tenant": tenant, "x": claim}));
            partition::key(limit, &request, "route", None)
        };
        prop_assert!(key(&a, &b).len() <= 256);
        prop_assert!((key(&a, &b) == key(&c, &b)) == (a == c));
        prop_assert!((key(&b, &a) == key(&b, &c)) == (a == c));
    }
}
