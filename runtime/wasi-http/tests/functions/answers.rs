//! What well-behaved components can do, in both versions of the standard.

use std::sync::Arc;

use forebay_http::{Body, BodyError};
use forebay_wasi_http::Grant;

use crate::support::{INCOMING, Repeats, SERVICE, ask, call, load, request};

#[tokio::test]
async fn a_function_answers_in_both_versions() {
    let answered = ask(&SERVICE, "").await.unwrap();
    assert_eq!(answered.headers["content-type"], "text/plain");
    assert_eq!(answered.whole(), "hello from Method::Post edge.test/a/path?q=1\n");
    assert_eq!(ask(&INCOMING, "").await.unwrap().whole(), "hello from /a/path?q=1\n");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    assert_eq!(ask(&SERVICE, "stream").await.unwrap().whole(), "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\n");
    for function in [&SERVICE, &INCOMING] {
        let (sender, body) = Body::channel(1);
        let sent = "0123456789".repeat(10_000);
        let pieces = sent.clone();
        let writing = tokio::spawn(async move {
            for piece in pieces.as_bytes().chunks(7_000) {
                sender.send(piece.to_vec()).await.unwrap();
            }
            sender.finish();
        });
        let answered = call(function, request("echo").map(|_| body)).await.unwrap();
        assert_eq!(answered.whole(), sent);
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn a_long_stream_of_little_work_is_not_too_much_computing() {
    let spare = load("wasi-service", |spec| spec.limits.deadline = std::time::Duration::from_millis(50)).unwrap();
    let pieces = ask(&spare, "long-stream").await.unwrap().whole();
    assert_eq!(pieces.lines().count(), 200);
}

#[tokio::test]
async fn a_first_piece_does_not_wait_for_the_last() {
    use http_body_util::BodyExt as _;
    let call = forebay_wasi_http::Call {
        request: request("hang-after-head"),
        deadline: std::time::Instant::now() + crate::support::LONG,
        next: None,
    };
    let mut body = SERVICE.call(call).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "begun\n");
}

#[tokio::test]
async fn a_request_that_is_longer_than_allowed_does_not_reach_its_end() {
    let long = "x".repeat(300 * 1024);
    for function in [&SERVICE, &INCOMING] {
        let answered = call(function, request("echo").map(|_| Body::full(long.clone()))).await;
        // The guest of 0.3 ends its answer where the request broke; the point is that it was not handed more.
        let read = answered.ok().and_then(|got| got.body.ok()).unwrap_or_default();
        assert!(read.len() <= 256 * 1024, "{}", read.len());
    }
}

#[tokio::test]
async fn the_world_is_what_was_granted() {
    let service = load("wasi-service", |spec| drop(spec.env.insert("COLOUR".into(), "green".into()))).unwrap();
    assert_eq!(ask(&service, "environment").await.unwrap().whole(), "COLOUR=green\n");
    assert_eq!(ask(&SERVICE, "environment").await.unwrap().whole(), "");
    assert_eq!(ask(&SERVICE, "world").await.unwrap().whole(), "waited true, 8 random bytes\n");
    assert_eq!(ask(&SERVICE, "log").await.unwrap().whole(), "logged\n");
    assert_eq!(ask(&INCOMING, "world").await.unwrap().whole(), "0 variables, 0 folders\n");
}

#[tokio::test]
async fn requests_reach_the_listed_origins_alone() {
    for (name, good, refused) in [
        ("wasi-service", "", "no answer: ErrorCode::HttpRequestDenied\n"),
        ("wasi-incoming", "status 200\n", "no answer: ErrorCode::HttpRequestDenied\n"),
    ] {
        let upstream = Repeats::default();
        let outbound = Arc::new(upstream.clone());
        let function = load(name, |spec| {
            spec.origins = vec!["https://api.test".parse().unwrap()];
            spec.outbound = Some(outbound);
        })
        .unwrap();
        let fetch = |target: &str| {
            let mut request = request("fetch");
            request.headers_mut().insert("x-target", target.parse().unwrap());
            call(&function, request)
        };
        assert_eq!(fetch("https://api.test/v1?x=2").await.unwrap().whole(), good, "{name}");
        let seen = upstream.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].uri, "https://api.test/v1?x=2");
        for elsewhere in ["http://api.test/", "https://api.test:8443/", "https://other.test/", "https://127.0.0.1/"] {
            assert_eq!(fetch(elsewhere).await.unwrap().whole(), refused, "{name} {elsewhere}");
        }
        assert!(upstream.seen().is_empty());
    }
}

#[tokio::test]
async fn nothing_is_left_for_the_next_request_and_places_come_back() {
    let few = load("wasi-service", |spec| spec.limits.instances = Some(1)).unwrap();
    assert!(few.imports().contains(&Grant::Clocks));
    for _ in 0..50 {
        // The instance of the last request may still be on its way out.
        while ask(&few, "").await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_is_seen() {
    let (sender, body) = Body::channel(2);
    sender.send("half").await.unwrap();
    sender.abort(BodyError::Broken("gone".into())).await;
    let answered = call(&INCOMING, request("echo").map(|_| body)).await.unwrap();
    assert!(answered.body.is_err());
}
