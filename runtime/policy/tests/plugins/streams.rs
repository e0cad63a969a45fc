//! Bodies that stream through plugins: one instance for each, and nothing of it for the next.

use std::sync::Arc;

use bytes::Bytes;
use forebay_policy::{BodyStream, CallLimits, Failure, Outcome, PartKind, Plugin, PluginSpec, Side};
use http::HeaderMap;

use super::calls::part;
use super::support::{ENGINE, of_acme, spec};

fn told(rules: &str) -> PluginSpec {
    let mut spec = spec("streams", rules);
    spec.limits.deadline = std::time::Duration::from_secs(5);
    spec
}

fn plugin(rules: &str) -> Plugin {
    ENGINE.load(told(rules)).unwrap()
}

async fn stream(plugin: &Plugin) -> BodyStream {
    plugin.stream(Side::Request, of_acme()).await.unwrap().expect("a hook for parts")
}

/// What comes back for a part: its text, or how else it ended.
async fn chunk(stream: &mut BodyStream, text: &str, last: bool) -> Result<String, String> {
    match stream.part(part(PartKind::Chunk, Side::Request, last, text.to_owned())).await {
        Ok(Outcome::Continue(bytes)) => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
        Ok(Outcome::Answer(answer)) => Err(answer.status.to_string()),
        Err(failure) => Err(failure.reason().to_owned()),
    }
}

#[tokio::test]
async fn what_is_remembered_of_one_part_is_there_at_the_next_and_in_no_other_body() {
    let plugin = plugin("q:number>!count|q:wait>!hold");
    let (mut one, mut other) = (stream(&plugin).await, stream(&plugin).await);
    assert_eq!(chunk(&mut one, "number", false).await.unwrap(), "1");
    assert_eq!(chunk(&mut one, "number", false).await.unwrap(), "2");
    assert_eq!(chunk(&mut other, "number", false).await.unwrap(), "1");
    assert_eq!(chunk(&mut one, "wait for ", false).await.unwrap(), "");
    assert_eq!(chunk(&mut other, "mine", false).await.unwrap(), "mine");
    assert_eq!(chunk(&mut one, "it", true).await.unwrap(), "wait for it");
    assert_eq!(chunk(&mut other, "number", true).await.unwrap(), "3");
    // A body after them begins from nothing.
    assert_eq!(chunk(&mut stream(&plugin).await, "number", true).await.unwrap(), "1");
}

#[tokio::test]
async fn nothing_follows_the_last_part_a_refusal_or_a_failure() {
    let plugin = plugin("q:secret>!refuse|q:bad>!trap");
    for (text, last, ended) in [
        ("good", true, Ok("good".to_owned())),
        ("secret", false, Err("403".into())),
        ("bad", false, Err("trap".into())),
    ] {
        let mut stream = stream(&plugin).await;
        assert_eq!(chunk(&mut stream, text, last).await, ended);
        assert_eq!(chunk(&mut stream, "more", false).await, Err("internal".to_owned()), "after {text}");
    }
}

#[tokio::test]
async fn a_stream_holds_one_place_until_it_ends_or_is_given_up() {
    let mut spec = told("q:secret>!refuse");
    // Of which bodies that stream may hold one half.
    spec.limits.instances = Some(4);
    let plugin = ENGINE.load(spec).unwrap();
    for end in ["last", "refused", "dropped"] {
        let (mut one, other) = (stream(&plugin).await, stream(&plugin).await);
        let third = plugin.stream(Side::Request, of_acme()).await;
        assert!(matches!(third, Err(Failure::StreamsExhausted)), "{third:?}");
        // Other hooks go on.
        assert!(plugin.on_trailers(Side::Request, Arc::default(), &of_acme()).await.is_ok());
        match end {
            "last" => drop(chunk(&mut one, "x", true).await.unwrap()),
            "refused" => drop(chunk(&mut one, "secret", false).await.unwrap_err()),
            _ => drop(one),
        }
        drop(stream(&plugin).await);
        drop(other);
    }
}

#[tokio::test]
async fn streams_that_fail_again_and_again_end_in_quarantine() {
    let mut spec = told("q:bad>!trap");
    spec.limits.quarantine_after = 3;
    let plugin = ENGINE.load(spec).unwrap();
    for _ in 0..3 {
        assert_eq!(chunk(&mut stream(&plugin).await, "bad", false).await, Err("trap".to_owned()));
    }
    let quarantined = plugin.stream(Side::Request, of_acme()).await;
    assert!(matches!(quarantined, Err(Failure::Quarantined)), "{quarantined:?}");
}

#[tokio::test]
async fn each_part_has_the_bounds_of_a_call() {
    let mut spec = told("q:number>!count");
    // A part takes about five calls.
    spec.limits = CallLimits { host_calls: 10, ..spec.limits };
    let plugin = ENGINE.load(spec).unwrap();
    let mut stream = stream(&plugin).await;
    for number in 1..100 {
        assert_eq!(chunk(&mut stream, "number", false).await.unwrap(), number.to_string());
    }
}

#[tokio::test]
async fn trailers_are_edited_within_the_rules() {
    let plugin = plugin("q:a>b");
    let trailers = |name: &'static str, value: &str| {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, value.parse().unwrap());
        Arc::new(trailers)
    };
    for (side, seen) in [(Side::Request, "request"), (Side::Response, "response")] {
        let before = trailers("x-gone", "drop");
        let ended = plugin.on_trailers(side, Arc::clone(&before), &of_acme()).await;
        let Ok(Outcome::Continue(edits)) = ended else { panic!("refused") };
        let mut after = before.as_ref().clone();
        edits.apply(&mut after);
        assert_eq!((after.len(), &after["x-seen"]), (1, &http::HeaderValue::from_str(seen).unwrap()));
    }
    let refused = plugin.on_trailers(Side::Request, trailers("x-a", "secret"), &of_acme()).await;
    assert!(matches!(refused, Ok(Outcome::Answer(answer)) if answer.status == 403));
    let failed = plugin.on_trailers(Side::Request, trailers("x-a", "trap"), &of_acme()).await;
    assert!(matches!(failed, Err(Failure::Trap(_))));
}

#[tokio::test]
async fn an_empty_part_and_a_large_one_are_parts_too() {
    let plugin = plugin("q:a>b");
    let mut stream = stream(&plugin).await;
    assert_eq!(chunk(&mut stream, "", false).await.unwrap(), "");
    let large = part(PartKind::Chunk, Side::Request, true, vec![b'a'; 1 << 20]);
    let Ok(Outcome::Continue(bytes)) = stream.part(large).await else { panic!("refused") };
    assert_eq!(bytes, Bytes::from(vec![b'b'; 1 << 20]));
}
