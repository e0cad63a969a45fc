//! Every attack ends in its own failure, in bounded time, and a good plugin goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use forebay_policy::{CallLimits, Failure, Outcome};

use super::support::{ENGINE, Notes, Response, Slow, access, acme, ask, hostile, spec};

/// Generous, since tests share their cores; the deadlines under test are of milliseconds.
const BOUND: Duration = Duration::from_secs(10);

async fn fails_as(behaviour: &str) -> Failure {
    let plugin = hostile(behaviour);
    let started = Instant::now();
    let failure = ask(&plugin).await.expect_err(behaviour);
    assert!(started.elapsed() < BOUND, "{behaviour} took {:?}", started.elapsed());
    assert!(failure.blames_plugin());
    assert!(matches!(ask(&access()).await, Ok(Outcome::Continue(_))), "the good plugin suffered from {behaviour}");
    failure
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_deadline() {
    assert_eq!(fails_as("loop").await, Failure::Deadline);
}

#[tokio::test]
async fn a_panic_is_a_trap() {
    assert!(matches!(fails_as("trap").await, Failure::Trap(_)));
}

#[tokio::test]
async fn hoarding_ends_at_the_memory_limit() {
    assert_eq!(fails_as("memory").await, Failure::Memory);
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    assert!(matches!(fails_as("recursion").await, Failure::Trap(_)));
}

#[tokio::test]
async fn a_giant_answer_is_a_bad_verdict() {
    assert!(matches!(fails_as("giant-answer").await, Failure::BadVerdict(_)));
}

#[tokio::test]
async fn a_status_without_a_body_is_a_bad_verdict() {
    assert!(matches!(fails_as("bad-status").await, Failure::BadVerdict(_)));
}

#[tokio::test]
async fn a_header_that_splits_the_answer_is_a_bad_verdict() {
    assert!(matches!(fails_as("bad-header").await, Failure::BadVerdict(_)));
}

#[tokio::test]
async fn editing_the_gateways_own_header_is_a_bad_verdict() {
    assert!(matches!(fails_as("bad-edit").await, Failure::BadVerdict(_)));
}

#[tokio::test]
async fn floods_end_at_their_limits() {
    assert!(matches!(fails_as("edit-flood").await, Failure::BadVerdict(_)));
    assert_eq!(fails_as("host-call-flood").await, Failure::HostCalls);
    assert_eq!(fails_as("host-byte-flood").await, Failure::HostCalls);
}

#[tokio::test]
async fn work_of_the_host_ends_with_its_time() {
    let mut spec = spec("hostile", "ask-on-forward");
    (spec.limits.deadline, spec.limits.host_time) = (Duration::from_millis(10), Duration::from_millis(40));
    let plugin = ENGINE.load(spec).unwrap();
    let (takes, asked) = (Duration::from_millis(10), Arc::new(AtomicU32::new(0)));
    let message = Box::new(Slow { takes, asked: Arc::clone(&asked) });
    assert!(matches!(plugin.on_forward(message, &of_acme()).await, Err(Failure::Deadline)));
    // It asks 64 times and would have ticks for eleven.
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked <= 6, "asked {asked} times");
}

#[tokio::test]
async fn failing_again_and_again_ends_in_quarantine_for_that_plugin_alone() {
    let mut spec = spec("hostile", "trap");
    spec.limits.quarantine_after = CallLimits::default().quarantine_after;
    let most = spec.limits.quarantine_after;
    let plugin = ENGINE.load(spec).unwrap();
    let mut traps = 0;
    let quarantined = loop {
        match ask(&plugin).await {
            Err(Failure::Trap(_)) => traps += 1,
            other => break other,
        }
        assert!(traps <= most, "never quarantined");
    };
    assert_eq!((traps, &quarantined), (most, &Err(Failure::Quarantined)));
    assert!(!Failure::Quarantined.blames_plugin());
    assert!(matches!(ask(&access()).await, Ok(Outcome::Continue(_))));
}

#[tokio::test]
async fn a_log_flood_is_cut_and_harms_nobody() {
    assert!(matches!(ask(&hostile("log-flood")).await, Ok(Outcome::Continue(_))));
}

#[tokio::test]
async fn edits_before_a_trap_are_dropped() {
    assert!(matches!(fails_as("edit-then-trap").await, Failure::Trap(_)));
}

#[tokio::test]
async fn a_call_remembers_nothing_of_the_one_before() {
    let plugin = hostile("remember");
    for _ in 0..3 {
        let Ok(Outcome::Continue(edits)) = ask(&plugin).await else { panic!("refused") };
        let mut headers = http::HeaderMap::new();
        edits.apply(&mut headers);
        assert_eq!(headers["x-seen"], "0");
    }
}

#[tokio::test]
async fn traps_in_later_phases_take_the_message_with_them() {
    let text = forebay_policy::Field::Input("text".to_owned());
    for behaviour in ["trap-on-forward", "seal-then-trap"] {
        let message = Notes::boxed(&[(text.clone(), None)]);
        assert!(matches!(hostile(behaviour).on_forward(message, &of_acme()).await, Err(Failure::Trap(_))));
    }
    let message = Notes::boxed(&[]);
    assert!(matches!(hostile("trap-on-return").on_return(message, &of_acme()).await, Err(Failure::Trap(_))));
    let response = Arc::new(Response);
    let plugin = hostile("trap-on-response");
    assert!(matches!(plugin.on_response(response, None, &of_acme()).await, Err(Failure::Trap(_))));
}

#[tokio::test]
async fn a_guest_that_computes_lets_other_tasks_of_its_thread_run() {
    let mut spec = spec("hostile", "loop");
    spec.limits.deadline = Duration::from_millis(100);
    let looping = ENGINE.load(spec).unwrap();
    let good = access();
    // Both run on this one thread: the good call ends while the loop is still in its deadline.
    let (looped, asked) = tokio::join!(
        async {
            let failure = ask(&looping).await;
            (failure, Instant::now())
        },
        async {
            let outcome = ask(&good).await;
            (outcome, Instant::now())
        }
    );
    assert_eq!(looped.0, Err(Failure::Deadline));
    assert!(matches!(asked.0, Ok(Outcome::Continue(_))));
    assert!(asked.1 < looped.1);
}

#[tokio::test]
async fn dropping_a_call_ends_it_and_frees_its_instance() {
    let mut spec = spec("hostile", "loop");
    spec.limits.deadline = Duration::from_secs(60);
    let plugin = ENGINE.load(spec).unwrap();
    for _ in 0..70 {
        let ended = tokio::time::timeout(Duration::from_millis(2), ask(&plugin)).await;
        assert!(ended.is_err());
    }
    assert!(ask(&access()).await.is_ok());
}
