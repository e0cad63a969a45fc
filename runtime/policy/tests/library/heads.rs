//! Plugins that look at heads alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forebay_policy::Capability::{Clock, Http, Identity};
use forebay_policy::services::{Clock as ClockService, Cost, Meter};
use forebay_policy::{Capability, Phase, Services};
use parking_lot::Mutex;
use serde_json::json;

use super::support::{Ask, Reply, answer, ask, edited, field, goes_on, load, respond};

#[tokio::test]
async fn jwt_access_reads_claims_and_is_pure() {
    let config = json!({"rules": [{"scopes": ["infer"], "claims": [{"pointer": "/groups", "any_of": ["ml"]}]}]});
    let plugin = load("jwt-access", &config, &[Http, Identity], Services::default());
    let with = |groups: &str| Ask::default().claims(json!({"scope": "infer", "groups": [groups]})).context();
    assert!(goes_on(ask(&plugin, &with("ml")).await).is_empty());
    assert_eq!(answer(ask(&plugin, &with("hr")).await).status, 403);
    assert!(plugin.imports().iter().all(|capability| capability.is_pure()));
}

#[tokio::test]
async fn residency_narrows_the_areas() {
    let config = json!({"sources": [{"claim": "/region", "areas": {"eu": ["eu", "ch"]}}]});
    let plugin = load("residency", &config, &[Http, Identity], Services::default());
    let edits = goes_on(ask(&plugin, &Ask::default().claims(json!({"region": "eu"})).context()).await);
    assert_eq!(edits.jurisdictions(None), Some(vec!["eu".to_owned(), "ch".to_owned()]));
    assert_eq!(edits.jurisdictions(Some(vec!["us".to_owned()])), Some(Vec::new()));
    assert_eq!(answer(ask(&plugin, &Ask::default().context()).await).status, 403);
}

#[tokio::test]
async fn cors_answers_preflights_and_marks_responses() {
    let config = json!({"origins": ["https://*.example.com"], "credentials": true, "methods": ["PUT"]});
    let plugin = load("cors", &config, &[Http], Services::default());
    let preflight = Ask { method: "OPTIONS", ..Ask::default() }.header("access-control-request-method", "PUT");
    let preflight = preflight.header("origin", "https://app.example.com").context();
    let allowed = answer(ask(&plugin, &preflight).await);
    assert_eq!((allowed.status, allowed.problem.as_deref()), (200, None));
    assert_eq!(field(&allowed, "access-control-allow-origin").as_deref(), Some("https://app.example.com"));

    let request = Ask::default().header("origin", "https://app.example.com").context();
    goes_on(ask(&plugin, &request).await);
    let fields = respond(&plugin, Reply(BTreeMap::new()), &request).await;
    assert_eq!(fields["access-control-allow-origin"], "https://app.example.com");
    assert_eq!(
        (&fields["access-control-allow-credentials"], &fields["vary"]),
        (&"true".parse().unwrap(), &"Origin".parse().unwrap())
    );
}

#[tokio::test]
async fn headers_edits_both_heads() {
    let config = json!({"preset": "api", "request": {"require": ["x-team"], "set": {"x-edge": "1"}}});
    let plugin = load("headers", &config, &[Http], Services::default());
    assert_eq!(answer(ask(&plugin, &Ask::default().context()).await).status, 400);
    let request = Ask::default().header("x-team", "red").context();
    assert_eq!(edited(&goes_on(ask(&plugin, &request).await))["x-edge"], "1");
    let fields = respond(&plugin, Reply(BTreeMap::from([("referrer-policy", "origin")])), &request).await;
    assert_eq!(fields["x-content-type-options"], "nosniff");
    assert!(!fields.contains_key("referrer-policy"));
}

/// A clock that stands still.
struct At(u64);

impl ClockService for At {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn api_key_knows_keys_by_digest_and_their_time() {
    // SHA-256 of `k-batch`.
    let sha256 = ring::digest::digest(&ring::digest::SHA256, b"k-batch");
    let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({"keys": [{"name": "batch", "sha256": sha256, "tenant": "acme", "expires": "2026-01-01"}]});
    let at = |ms| Services { clock: Arc::new(At(ms)), ..Services::default() };
    let grants: [Capability; 3] = [Http, Identity, Clock];
    let plugin = load("api-key", &config, &grants, at(1_767_225_599_999));
    let keyed = |key: &str| Ask::default().header("x-api-key", key).context();
    let edits = goes_on(ask(&plugin, &keyed("k-batch")).await);
    assert_eq!(
        (&edited(&edits)["x-api-client"], &edited(&edits)["x-api-tenant"]),
        (&"batch".parse().unwrap(), &"acme".parse().unwrap())
    );
    assert_eq!(answer(ask(&plugin, &keyed("k-other")).await).status, 401);
    let later = load("api-key", &config, &grants, at(1_767_225_600_000));
    assert_eq!(answer(ask(&later, &keyed("k-batch")).await).status, 401);
}

/// The most memory of each call.
#[derive(Default)]
struct Memory(Mutex<Vec<usize>>);

impl Meter for Memory {
    fn called(&self, _: Phase, _: Option<&str>, cost: Cost) {
        self.0.lock().push(cost.memory_bytes);
    }
}

#[tokio::test]
async fn ordinary_calls_stay_inside_the_memory_of_the_snapshot() {
    let tenants: Vec<String> = (0..3_000).map(|i| format!("tenant-{i}")).collect();
    let config = json!({"rules": [{"scopes": ["infer"], "tenants": tenants}]});
    let meter = Arc::new(Memory::default());
    let services = Services { meter: Some(Arc::<Memory>::clone(&meter)), ..Services::default() };
    let plugin = load("jwt-access", &config, &[Http, Identity], services);
    for scope in
        ["infer".to_owned(), format!("infer {}", "x".repeat(16_384)), format!("infer {}", "x".repeat(1_000_000))]
    {
        let claims = json!({"tenant": "tenant-2999", "scope": scope});
        goes_on(ask(&plugin, &Ask::default().claims(claims).context()).await);
    }
    let calls = meter.0.lock().clone();
    assert_eq!((calls.len(), calls[0]), (3, calls[1]));
    assert!(calls[2] > calls[1], "{calls:?}");
}
