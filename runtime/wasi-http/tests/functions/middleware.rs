//! Middleware: a component in front of whatever the caller puts behind it.

use std::sync::Arc;

use forebay_http::Body;
use parking_lot::Mutex;

use crate::support::{BreaksOff, Listens, MIDDLEWARE, Refuses, Repeats, call, call_before, load, request};

fn asking(behaviour: &str) -> http::Request<Body> {
    request(behaviour).map(|_| Body::full("question"))
}

#[tokio::test]
async fn heads_are_changed_both_ways_and_bodies_pass() {
    let next = Repeats::default();
    let got = call_before(&MIDDLEWARE, asking("edit"), Some(Arc::new(next.clone()))).await.unwrap();
    assert_eq!(
        (&got.headers["x-from-middleware"], &got.headers["x-upstream"]),
        (&"out".parse().unwrap(), &"repeats".parse().unwrap())
    );
    assert_eq!(got.whole(), "question");
    let seen = next.seen();
    assert_eq!((seen.len(), &seen[0].headers["x-from-middleware"]), (1, &"in".parse().unwrap()));
    assert_eq!(seen[0].uri, "https://edge.test/a/path?q=1");
    assert_eq!(seen[0].body.as_deref().ok(), Some(&b"question"[..]));
}

#[tokio::test]
async fn a_request_may_pass_as_it_is_or_be_answered_before() {
    let next = Repeats::default();
    let pass = call_before(&MIDDLEWARE, asking("pass"), Some(Arc::new(next.clone()))).await.unwrap();
    assert_eq!(pass.whole(), "question");
    assert_eq!(next.seen().len(), 1);
    let answered = call_before(&MIDDLEWARE, asking("answer"), Some(Arc::new(next.clone()))).await.unwrap();
    assert_eq!(answered.status, 403);
    assert!(next.seen().is_empty());
}

#[tokio::test]
async fn what_fails_behind_it_is_its_own_to_answer() {
    let passed = call_before(&MIDDLEWARE, asking("pass"), Some(Arc::new(Refuses))).await.unwrap_err();
    assert_eq!(passed.reason(), "refused");
    let caught = call_before(&MIDDLEWARE, asking("fall-back"), Some(Arc::new(Refuses))).await.unwrap();
    assert_eq!(caught.status, 203);
    // With nothing behind it there is nothing to reach.
    assert_eq!(call(&MIDDLEWARE, asking("pass")).await.unwrap_err().reason(), "refused");
}

#[tokio::test]
async fn an_answer_that_breaks_off_behind_it_breaks_off() {
    for behaviour in ["pass", "edit"] {
        let got = call_before(&MIDDLEWARE, asking(behaviour), Some(Arc::new(BreaksOff))).await.unwrap();
        assert!(got.body.is_err(), "{behaviour}");
    }
}

#[tokio::test]
async fn it_is_closed_when_it_fails() {
    for (behaviour, reason) in [("trap", "trap"), ("loop", "deadline"), ("trap-after-next", "trap")] {
        let next = Arc::new(Repeats::default());
        let failed = call_before(&MIDDLEWARE, asking(behaviour), Some(next)).await.unwrap_err();
        assert_eq!(failed.reason(), reason, "{behaviour}");
    }
}

#[tokio::test]
async fn a_request_whose_writer_dies_does_not_look_complete() {
    let (ended, how) = tokio::sync::oneshot::channel();
    let next = Arc::new(Listens(Mutex::new(Some(ended))));
    let failed = call_before(&MIDDLEWARE, asking("trap-while-next"), Some(next)).await.unwrap_err();
    assert_eq!(failed.reason(), "trap");
    assert!(how.await.unwrap().is_err());
}

#[tokio::test]
async fn what_comes_next_is_asked_a_few_times_only() {
    let limited = load("wasi-middleware", |spec| spec.limits.upstream_calls = 3).unwrap();
    let next = Repeats::default();
    let got = call_before(&limited, asking("flood"), Some(Arc::new(next.clone()))).await.unwrap();
    assert_eq!((got.status, next.seen().len()), (203, 3));
}
