//! Components that misbehave: what stops each, and that the engine is well after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_wasi_http::{Call, Failure, Function, FunctionSpec};

use crate::support::{Got, INCOMING, LONG, Refuses, SERVICE, ask, call_before, load, request};

#[track_caller]
fn stopped_by(result: Result<Got, Failure>, reason: &str) {
    match result {
        Err(failure) => assert_eq!(failure.reason(), reason, "{failure}"),
        Ok(got) => panic!("it should have ended in {reason}: {got:?}"),
    }
}

/// The head comes, and then the body breaks off for that reason.
async fn cut(name: &str, behaviour: &str, reason: &'static str, change: impl FnOnce(&mut FunctionSpec)) {
    let (told, mut why) = tokio::sync::mpsc::channel(1);
    let function = load(name, |spec| {
        change(spec);
        spec.on_cut = Some(Arc::new(move |failure: &Failure| told.try_send(failure.reason()).unwrap()));
    })
    .unwrap();
    let got = ask(&function, behaviour).await.unwrap();
    assert!(got.body.is_err(), "{behaviour}: {got:?}");
    assert_eq!(why.recv().await, Some(reason), "{behaviour}");
    is_well(&function).await;
}

async fn is_well(function: &Function) {
    assert!(ask(function, "").await.unwrap().whole().starts_with("hello"));
}

#[tokio::test]
async fn what_ends_a_guest_before_its_head() {
    for (behaviour, reason) in [
        ("loop", "deadline"),
        ("trap", "trap"),
        ("memory", "memory"),
        ("error", "refused"),
        ("many-tasks", "host-calls"),
        ("many-fields", "host-calls"),
        ("header-bomb", "bad-response"),
        ("bad-status", "bad-response"),
    ] {
        stopped_by(ask(&SERVICE, behaviour).await, reason);
        is_well(&SERVICE).await;
    }
    for (behaviour, reason) in [
        ("loop", "deadline"),
        ("trap", "trap"),
        ("error", "refused"),
        ("no-answer", "unfinished"),
        ("leave-the-answer", "unfinished"),
    ] {
        stopped_by(ask(&INCOMING, behaviour).await, reason);
        is_well(&INCOMING).await;
    }
}

#[tokio::test]
async fn what_ends_a_guest_within_its_body() {
    for (behaviour, reason) in [
        ("loop-after-head", "deadline"),
        ("trap-after-head", "trap"),
        ("short", "unfinished"),
        ("endless", "body-too-large"),
    ] {
        cut("wasi-service", behaviour, reason, |_| {}).await;
    }
    for (behaviour, reason) in
        [("trap-after-head", "trap"), ("forget-the-end", "unfinished"), ("drop-the-end", "unfinished")]
    {
        cut("wasi-incoming", behaviour, reason, |_| {}).await;
    }
}

#[tokio::test]
async fn an_instance_that_does_not_end_is_ended() {
    let short = |name| load(name, |spec| spec.limits.lifetime = Duration::from_millis(100)).unwrap();
    let (service, incoming) = (short("wasi-service"), short("wasi-incoming"));
    stopped_by(ask(&service, "never").await, "lifetime");
    stopped_by(ask(&incoming, "wait").await, "lifetime");
    let brief = |spec: &mut FunctionSpec| spec.limits.lifetime = Duration::from_millis(100);
    cut("wasi-service", "hang-after-head", "lifetime", brief).await;
    cut("wasi-service", "forget-the-end", "lifetime", brief).await;
    cut("wasi-incoming", "wait-after-head", "lifetime", brief).await;
    is_well(&service).await;
}

#[tokio::test]
async fn the_requests_deadline_bounds_the_wait_for_a_head() {
    for (function, behaviour) in [(&SERVICE, "never"), (&INCOMING, "wait")] {
        let started = Instant::now();
        let deadline = started + Duration::from_millis(50);
        let answered = function.call(Call { request: request(behaviour), deadline, next: None }).await;
        assert_eq!(answered.err(), Some(Failure::NoAnswer));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_loop_lets_others_have_its_thread() {
    let looping = load("wasi-service", |_| {}).unwrap();
    is_well(&SERVICE).await;
    let hog = tokio::spawn(async move { ask(&looping, "loop").await });
    let mut answered = 0;
    while !hog.is_finished() {
        is_well(&SERVICE).await;
        answered += 1;
    }
    stopped_by(hog.await.unwrap(), "deadline");
    assert!(answered > 3, "{answered}");
}

#[tokio::test]
async fn a_share_of_the_pool_is_all_that_one_component_takes() {
    let small = load("wasi-service", |spec| spec.limits.instances = Some(2)).unwrap();
    let call = |behaviour| Call { request: request(behaviour), deadline: Instant::now() + LONG, next: None };
    let first = small.call(call("hang-after-head")).await.unwrap();
    let second = small.call(call("hang-after-head")).await.unwrap();
    assert_eq!(small.call(call("")).await.err(), Some(Failure::PoolExhausted));
    is_well(&SERVICE).await;
    // Who leaves gives the place back, at once or nearly so.
    drop((first, second));
    while ask(&small, "").await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_instance() {
    let one = load("wasi-service", |spec| spec.limits.instances = Some(1)).unwrap();
    let waiting = Call { request: request("never"), deadline: Instant::now() + LONG, next: None };
    assert!(tokio::time::timeout(Duration::from_millis(20), one.call(waiting)).await.is_err());
    while ask(&one, "").await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_that_keeps_failing_rests() {
    let failing = load("wasi-service", |spec| spec.limits.quarantine_after = 2).unwrap();
    stopped_by(ask(&failing, "trap").await, "trap");
    is_well(&failing).await;
    stopped_by(ask(&failing, "trap").await, "trap");
    assert!(!failing.is_quarantined());
    stopped_by(ask(&failing, "error").await, "refused");
    stopped_by(ask(&failing, "").await, "quarantined");
    assert!(failing.is_quarantined());
    is_well(&SERVICE).await;
}

#[tokio::test]
async fn a_response_that_is_cut_counts_as_a_failure() {
    let (told, mut cut) = tokio::sync::mpsc::channel(1);
    let failing = load("wasi-service", |spec| {
        spec.limits.quarantine_after = 1;
        spec.on_cut = Some(Arc::new(move |failure: &Failure| told.try_send(failure.reason()).unwrap()));
    })
    .unwrap();
    assert!(ask(&failing, "trap-after-head").await.unwrap().body.is_err());
    assert_eq!(cut.recv().await, Some("trap"));
    stopped_by(ask(&failing, "").await, "quarantined");
}

#[tokio::test]
async fn what_others_do_brings_none_into_quarantine() {
    let once = |name| load(name, |spec| spec.limits.quarantine_after = 1).unwrap();
    let (middleware, incoming, service) = (once("wasi-middleware"), once("wasi-incoming"), once("wasi-service"));
    let refuses = || Some(Arc::new(Refuses) as Arc<dyn forebay_wasi_http::Upstream>);
    for _ in 0..2 {
        stopped_by(call_before(&middleware, request("pass"), refuses()).await, "refused");
        let (sender, body) = forebay_http::Body::channel(2);
        drop(sender);
        drop(call_before(&incoming, request("echo").map(|_| body), None).await);
        // A client that leaves.
        let waiting = Call { request: request("never"), deadline: Instant::now() + LONG, next: None };
        assert!(tokio::time::timeout(Duration::from_millis(20), service.call(waiting)).await.is_err());
    }
    assert!(!middleware.is_quarantined() && !incoming.is_quarantined() && !service.is_quarantined());
}
