#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use forebay_plugin_sdk::assert_verdict;
use forebay_plugin_sdk::testing::Request;
use proptest::prelude::{any, prop_assert, proptest};
use serde_json::json;

use super::*;

fn both() -> Config {
    let config = json!({"sources": [
        {"claim": "/region", "areas": {"eu": ["eu", "ch"], "world": []}},
        {"header": "x-data-region", "areas": {"eu": ["eu"], "ch": ["ch"]}, "absent": "allow"},
    ]});
    Config::parse(&config.to_string()).unwrap()
}

fn asks(region: &str) -> Request {
    Request::post("/x").claims(json!({ "region": region }))
}

#[test]
fn claims_and_headers_narrow_together() {
    let stays = |region: &str, header: Option<&str>| {
        let request = asks(region);
        let request = match header {
            Some(header) => request.header("x-data-region", header),
            None => request,
        };
        assert_verdict!(decide(&both(), &request), continue);
        request.jurisdictions().map(|areas| areas.join(" "))
    };
    assert_eq!(stays("eu", None).as_deref(), Some("eu ch"));
    assert_eq!(stays("eu", Some(" ch ")).as_deref(), Some("ch"));
    assert_eq!(stays("world", Some("eu")).as_deref(), Some("eu"));
    assert_eq!(stays("world", None), None);
}

#[test]
fn what_is_not_known_or_not_said_is_refused() {
    assert_verdict!(decide(&both(), &Request::post("/x")), answer 403 "forbidden");
    assert_verdict!(decide(&both(), &asks("moon")), answer 403 "forbidden");
    assert_verdict!(decide(&both(), &asks("eu").header("x-data-region", "us")), answer 403 "forbidden");
    assert_verdict!(decide(&both(), &Request::post("/x").claims(json!({"region": ["eu"]}))), answer 403 "forbidden");
}

#[test]
fn absence_can_mean_a_value() {
    let config = json!({"sources": [{"claim": "/region", "areas": {"eu": ["eu"]}, "absent": {"as": "eu"}}]});
    let request = Request::post("/x");
    assert_verdict!(decide(&Config::parse(&config.to_string()).unwrap(), &request), continue);
    assert_eq!(request.jurisdictions(), Some(vec!["eu".to_owned()]));
}

#[test]
fn other_routes_are_left_alone() {
    let config = json!({"sources": [{"claim": "/region", "areas": {"eu": ["eu"]}, "routes": ["health-*"]}]});
    assert_verdict!(decide(&Config::parse(&config.to_string()).unwrap(), &Request::post("/x").route("oip")), continue);
}

#[test]
fn mistakes_in_a_configuration_name_the_key() {
    for (text, key) in [
        (json!({"sources": []}), "sources"),
        (json!({"sources": [{"areas": {"eu": ["eu"]}}]}), "sources[0]"),
        (json!({"sources": [{"claim": "region", "areas": {"eu": ["eu"]}}]}), "sources[0].claim"),
        (json!({"sources": [{"header": "a b", "areas": {"eu": ["eu"]}}]}), "sources[0].header"),
        (json!({"sources": [{"claim": "/r", "areas": {}}]}), "sources[0].areas"),
        (json!({"sources": [{"claim": "/r", "areas": {"eu": [""]}}]}), "sources[0].areas"),
        (json!({"sources": [{"claim": "/r", "areas": {"eu": ["eu"]}, "absent": {"as": "us"}}]}), "sources[0].absent"),
        (json!({"sources": [{"claim": "/r", "areas": {"eu": ["eu"]}, "routes": []}]}), "sources[0].routes"),
    ] {
        let error = Config::parse(&text.to_string()).expect_err(&text.to_string());
        assert!(error.contains(key), "{text}: {error}");
    }
}

proptest! {
    /// Whatever a client sends, it stays where its claim puts it.
    #[test]
    fn a_header_never_widens(value in any::<String>()) {
        let request = asks("eu").header("x-data-region", &value);
        let verdict = decide(&both(), &request);
        let inside = |areas: Vec<String>| areas.iter().all(|area| area == "eu" || area == "ch");
        prop_assert!(verdict != Verdict::Continue || request.jurisdictions().is_some_and(inside));
    }
}
