//! What is remembered, of whom, and when it counts.

use std::sync::Arc;

use forebay_policy::{Absence, CallLimits, Context, Failure, Known, Outcome, Recall};
use serde_json::json;

use super::support::{Identity, Request, Response, context, limits, load};

fn acme(path: &str, headers: &[(&str, &str)]) -> Context {
    context(Request::to(path, headers), Identity::with(json!({"tenant": "acme", "scope": "infer", "role": "root"})))
}

#[tokio::test]
async fn the_second_request_that_reads_alike_is_known() {
    let plugin = load("memo-rule", "!", limits(1 << 20));
    let first = plugin.on_request(&acme("/echo", &[("x-a", "1"), ("x-b", "2")])).await.unwrap();
    let again = acme("/echo", &[("x-a", "1"), ("x-b", "2")]);
    let Recall::Known(Known::Continue(Some(edits))) = plugin.recall_request(&*again.request, &*again.identity) else {
        panic!("not remembered");
    };
    assert_eq!(Outcome::Continue(edits.as_ref().clone()), first);
    // Another value of what was read, and of what was not.
    let other = acme("/echo", &[("x-a", "2"), ("x-b", "2")]);
    assert!(matches!(plugin.recall_request(&*other.request, &*other.identity), Recall::Unknown(_)));
    let other = context(Request::to("/echo", &[("x-a", "1"), ("x-b", "2")]), Identity::absent(Absence::Missing));
    assert!(matches!(plugin.recall_request(&*other.request, &*other.identity), Recall::Known(_)));
}

#[tokio::test]
async fn only_what_imports_nothing_but_pure_interfaces_is_remembered() {
    let limits = limits(1 << 20);
    for (name, config, pure) in [
        ("memo-rule", "!", true),
        ("jwt-access", r#"{"rules":[{"scopes":["infer"]}]}"#, true),
        ("hostile", "ok", false),
    ] {
        let plugin = load(name, config, limits.clone());
        assert_eq!(plugin.is_pure(), pure, "{name}");
        for _ in 0..3 {
            let _ = plugin.on_request(&acme("/other", &[])).await;
        }
        assert_eq!(plugin.memo_stats().hits, if pure { 2 } else { 0 }, "{name}");
    }
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let plugin = load("memo-rule", "!", limits(1 << 20));
    for value in ["a", "b"] {
        for _ in 0..3 {
            let outcome = plugin.on_request(&acme("/bad", &[("x-a", value)])).await;
            assert!(matches!(outcome, Err(Failure::BadVerdict(_) | Failure::Trap(_))), "{outcome:?}");
        }
    }
    assert_eq!((plugin.memo_stats().hits, plugin.memo_stats().stores), (0, 0));
}

#[tokio::test]
async fn a_quarantined_plugin_refuses_what_its_memo_knows() {
    let plugin = load("memo-rule", "!", CallLimits { quarantine_after: 2, ..limits(1 << 20) });
    let (good, bad) = (acme("/nothing", &[]), acme("/bad", &[("x-a", "a")]));
    plugin.on_request(&good).await.unwrap();
    // A verdict from the memo counts as a call that ended well.
    for _ in 0..3 {
        plugin.on_request(&bad).await.unwrap_err();
        assert!(matches!(plugin.recall_request(&*good.request, &*good.identity), Recall::Known(_)));
    }
    for _ in 0..2 {
        plugin.on_request(&bad).await.unwrap_err();
    }
    assert!(matches!(plugin.recall_request(&*good.request, &*good.identity), Recall::Unknown(_)));
    assert_eq!(plugin.on_request(&good).await, Err(Failure::Quarantined));
}

#[tokio::test]
async fn whether_there_is_a_message_is_part_of_what_was_read() {
    let plugin = load("memo-rule", "!", limits(1 << 20));
    let (context, head) = (acme("/", &[]), Response { status: 200, headers: [].into() });
    plugin.on_response(Arc::new(head.clone()), None, &context).await.unwrap();
    let recall = |message| plugin.recall_response(&head, message, &*context.request, &*context.identity);
    assert!(matches!(recall(false), Recall::Known(_)));
    assert!(matches!(recall(true), Recall::Unknown(_)));
}

#[tokio::test]
async fn plugins_do_not_share_what_they_remember() {
    let (one, other) = (load("memo-rule", "!", limits(1 << 20)), load("memo-rule", "?", limits(1 << 20)));
    let request = acme("/echo", &[("x-a", "1")]);
    let first = one.on_request(&request).await.unwrap();
    assert_ne!(other.on_request(&request).await.unwrap(), first);
    assert_eq!(one.on_request(&request).await.unwrap(), first);
    assert_eq!(one.memo_stats().hits, 1);
}
