//! `jwt-access` as built: the configuration that it was given once decides every call.

use forebay_policy::{Absence, Answer, Outcome};
use serde_json::json;

use super::support::{Identity, access, acme, load, request_by};

async fn answer(identity: std::sync::Arc<Identity>) -> Answer {
    match access().on_request(&request_by(identity)).await {
        Ok(Outcome::Answer(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_with_the_scope_is_let_in() {
    let outcome = access().on_request(&request_by(acme())).await.unwrap();
    assert!(matches!(outcome, Outcome::Continue(edits) if edits.is_empty()));
}

#[tokio::test]
async fn a_missing_token_is_challenged() {
    let answer = answer(Identity::absent(Absence::Missing)).await;
    assert_eq!((answer.status, answer.problem.as_deref()), (401, Some("missing-credentials")));
    let (name, value) = &answer.headers[0];
    assert_eq!((name.as_str(), value.to_str().unwrap()), ("www-authenticate", r#"Bearer realm="demo""#));
}

#[tokio::test]
async fn a_bad_token_learns_nothing_but_that() {
    let expired = answer(Identity::absent(Absence::Expired)).await;
    assert_eq!((expired.status, expired.problem.as_deref()), (401, Some("invalid-token")));
    let forged = answer(Identity::absent(Absence::BadSignature)).await;
    let foreign = answer(Identity::absent(Absence::UnknownIssuer)).await;
    assert_eq!(forged, foreign);
}

#[tokio::test]
async fn a_token_without_the_scope_is_forbidden() {
    let answer = answer(Identity::with(json!({"scope": "read"}))).await;
    assert_eq!((answer.status, answer.problem.as_deref()), (403, Some("forbidden")));
    assert!(answer.headers[0].1.to_str().unwrap().contains(r#"scope="infer""#));
}

#[tokio::test]
async fn a_large_configuration_is_read_once_and_then_there() {
    let tenants: Vec<String> = (0..2_000).map(|i| format!("tenant-{i}")).collect();
    let config = json!({"rules": [{"scopes": [], "tenants": tenants}]}).to_string();
    let plugin = load("jwt-access", &config);
    let last = Identity::with(json!({"tenant": "tenant-1999"}));
    assert!(matches!(plugin.on_request(&request_by(last)).await, Ok(Outcome::Continue(_))));
    let other = Identity::with(json!({"tenant": "tenant-2000"}));
    assert!(matches!(plugin.on_request(&request_by(other)).await, Ok(Outcome::Answer(_))));
}
