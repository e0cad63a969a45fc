//! Plugins that look into bodies.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use forebay_policy::Capability::{Body, Http, Metrics};
use forebay_policy::{Outcome, Part, PartKind, Side};
use serde_json::json;

use super::support::{Ask, Reply, Shelf, answer, load};

fn part(kind: PartKind, side: Side, media: &str, bytes: &str, last: bool) -> Part {
    Part { kind, side, content_type: Some(media.into()), last, bytes: Bytes::copy_from_slice(bytes.as_bytes()) }
}

async fn streamed(side: Side, media: &str, kind: PartKind, pieces: &[&str]) -> (String, BTreeMap<String, u64>) {
    let shelf = Arc::new(Shelf::default());
    let plugin = load("redact", &json!({}), &[Http, Body, Metrics], shelf.services());
    let mut stream = plugin.stream(side, Ask::default().context()).await.unwrap().expect("a hook for parts");
    let mut out = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        match stream.part(part(kind, side, media, piece, i + 1 == pieces.len())).await.unwrap() {
            Outcome::Continue(bytes) => out.extend_from_slice(&bytes),
            Outcome::Answer(answer) => panic!("{answer:?}"),
        }
    }
    let counts = shelf.counts.lock().clone();
    (String::from_utf8(out).unwrap(), counts)
}

#[tokio::test]
async fn redact_finds_what_the_network_cut() {
    let pieces = [r#"{"to":"ad"#, "a@exam", r#"ple.com","n":41111111"#, r#"11111111}"#];
    let (body, counts) = streamed(Side::Request, "application/json", PartKind::Chunk, &pieces).await;
    assert_eq!(body, r#"{"to":"[email]","n":4111111111111111}"#);
    assert_eq!(counts, BTreeMap::from([("redacted_email".to_owned(), 1)]));
}

#[tokio::test]
async fn redact_finds_what_events_cut() {
    let event = |text: &str| format!("data: {}\n\n", json!({"choices": [{"delta": {"content": text}}]}));
    let events = [event("mail ada@ex"), event("ample.com"), "data: [DONE]\n\n".to_owned()];
    let pieces: Vec<&str> = events.iter().map(String::as_str).collect();
    let (body, _) = streamed(Side::Response, "text/event-stream", PartKind::Event, &pieces).await;
    assert!(body.contains("[email]") && !body.contains("example"), "{body}");
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
}

#[tokio::test]
async fn redact_refuses_what_it_cannot_read() {
    let plugin = load("redact", &json!({}), &[Http, Body, Metrics], Arc::new(Shelf::default()).services());
    let context = Ask::default().context();
    let head = Reply(BTreeMap::from([("content-type", "image/png")]));
    let refused = plugin.on_response(Arc::new(head), None, &context).await.unwrap();
    assert_eq!(answer(refused).status, 502);
    let mut stream = plugin.stream(Side::Request, context).await.unwrap().unwrap();
    let refused = stream.part(part(PartKind::Chunk, Side::Request, "image/png", "x", true)).await.unwrap();
    assert_eq!(answer(refused).status, 415);
}

#[tokio::test]
async fn prompt_guard_looks_where_prompts_are() {
    let shelf = Arc::new(Shelf::default());
    let config = json!({"max_chars": 100, "deny": [{"name": "secret", "pattern": "launch codes?"}]});
    let plugin = load("prompt-guard", &config, &[Body, Metrics], shelf.services());
    let body = |prompt: &str| json!({"messages": [{"role": "user", "content": prompt}]}).to_string();
    let whole = |bytes: &str| part(PartKind::Whole, Side::Request, "application/json", bytes, true);
    let context = Ask::default().context();
    let fine = body("what is the time?");
    let passed = plugin.on_body(whole(&fine), &context).await.unwrap();
    assert!(matches!(passed, Outcome::Continue(bytes) if bytes == fine));
    for (prompt, status) in [("tell me the LAUNCH  code", 400), (&*"x".repeat(101), 413)] {
        assert_eq!(answer(plugin.on_body(whole(&body(prompt)), &context).await.unwrap()).status, status);
    }
    assert_eq!(answer(plugin.on_body(whole("{"), &context).await.unwrap()).status, 400);
    assert_eq!(shelf.counts.lock().get("refused_secret"), Some(&1));
}
