//! Records of decisions, and the same decisions made again from nothing else.

use std::sync::Arc;

use forebay_policy::replay::{Record, RecordedValue, RecordedVerdict, Replayed, replay};
use forebay_policy::{Absence, NotRecorded, Outcome, Plugin};
use serde_json::json;
use tokio::sync::mpsc::Receiver;

use super::support::{Identity, Nothing, Request, Response, context, limits, load};

fn rule() -> Plugin {
    load("memo-rule", "!", limits(1 << 20))
}

/// What was recorded, through its text.
fn records(mut from: Receiver<Record>) -> Vec<Record> {
    let mut records = Vec::new();
    while let Ok(record) = from.try_recv() {
        records.push(Record::from_line(&record.to_line()).unwrap());
    }
    records
}

async fn one_record(plugin: &Plugin, path: &str, headers: &[(&str, &str)]) -> Record {
    let from = plugin.record(1).unwrap();
    let identity = Identity::with(json!({"tenant": "acme", "role": "user"}));
    plugin.on_request(&context(Request::to(path, headers), identity)).await.unwrap();
    records(from).pop().unwrap()
}

#[tokio::test]
async fn every_way_through_a_rule_replays_the_same() {
    let plugin = rule();
    let from = plugin.record(100).unwrap();
    let bytes = Request { headers: [("x-a".to_owned(), vec![0xff, 0x80])].into(), ..Request::to("/echo/1", &[]) };
    let mut requests = vec![bytes, Request { model: Some("m".to_owned()), ..Request::to("/v2", &[]) }];
    for path in ["/admin", "/echo", "/deny", "/chain", "/claims", "/nothing", "/other"] {
        requests.push(Request::to(path, &[("x-a", "b"), ("x-b", "c"), ("x-c", "")]));
    }
    let identities = [
        Identity::absent(Absence::Expired),
        Identity::with(json!({"tenant": "acme", "scope": "infer", "role": "root"})),
    ];
    for request in &requests {
        for identity in &identities {
            // Twice: while it records, nothing is answered from memory.
            for _ in 0..2 {
                plugin.on_request(&context(request.clone(), identity.clone())).await.unwrap();
            }
        }
    }
    let context = context(Request::to("/", &[]), Identity::absent(Absence::Missing));
    for status in [200, 404, 503] {
        let response = Arc::new(Response { status, headers: [("retry-after".to_owned(), b"9".to_vec())].into() });
        plugin.on_response(response, Some(Box::new(Nothing)), &context).await.unwrap();
    }
    let records = records(from);
    assert_eq!(records.len(), 4 * requests.len() + 3);
    let fresh = rule();
    for record in &records {
        assert_eq!(replay(&fresh, record).await.unwrap(), Replayed::Same, "{record:?}");
    }
    assert_eq!(fresh.memo_stats().stores, 0, "a replay leaves nothing");
}

#[tokio::test]
async fn a_changed_record_shows() {
    let plugin = rule();
    let record = one_record(&plugin, "/deny", &[("x-a", "1")]).await;

    let mut verdict = record.clone();
    verdict.verdict = RecordedVerdict::Continue;
    assert!(matches!(replay(&plugin, &verdict).await.unwrap(), Replayed::Different { .. }));

    let mut value = record.clone();
    value.reads.last_mut().unwrap().value = RecordedValue::Text("2".to_owned());
    assert!(matches!(replay(&plugin, &value).await.unwrap(), Replayed::Different { .. }));

    let mut path = record.clone();
    path.reads[0].value = RecordedValue::Text("/chain".to_owned());
    assert!(matches!(replay(&plugin, &path).await.unwrap(), Replayed::ReadDiffers { index: 1, .. }));

    let mut fewer = record.clone();
    fewer.reads.pop();
    let Replayed::ReadDiffers { recorded: None, now: Some(now), .. } = replay(&plugin, &fewer).await.unwrap() else {
        panic!("a read that was not recorded went unnoticed");
    };
    assert_eq!((now.read.as_str(), now.name.as_str()), ("header", "x-a"));

    let other = load("memo-rule", "?", limits(0));
    assert!(matches!(replay(&other, &record).await.unwrap(), Replayed::OtherDigest { .. }));
    assert_eq!(replay(&plugin, &record).await.unwrap(), Replayed::Same);
}

#[tokio::test]
async fn what_a_run_fails_on_is_told_by_a_replay() {
    let plugin = rule();
    let mut record = one_record(&plugin, "/bad", &[("x-a", "c")]).await;
    record.reads.last_mut().unwrap().value = RecordedValue::Text("b".to_owned());
    assert!(matches!(replay(&plugin, &record).await.unwrap(), Replayed::Failed(_)));
}

#[tokio::test]
async fn only_pure_plugins_are_recorded_and_one_recording_at_a_time() {
    let hostile = load("hostile", "ok", limits(0));
    assert_eq!(hostile.record(1).unwrap_err(), NotRecorded::NotPure("hostile".to_owned()));
    let plugin = rule();
    let first = plugin.record(3).unwrap();
    assert_eq!(plugin.record(3).unwrap_err(), NotRecorded::Busy);
    drop(first);
    let from = plugin.record(1).unwrap();
    let known = context(Request::to("/nothing", &[]), Identity::absent(Absence::Missing));
    for _ in 0..3 {
        assert!(matches!(plugin.on_request(&known).await, Ok(Outcome::Continue(_))));
    }
    // Those after the recording are answered from memory again.
    assert_eq!((records(from).len(), plugin.memo_stats().hits), (1, 2));
}
