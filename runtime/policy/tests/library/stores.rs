//! Plugins that remember.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_policy::Capability::{Clock, Counters, Http, Identity, Journal, KeyValue, Keys, Notes};
use forebay_policy::{Capability, Plugin};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::support::{Ask, Reply, Shelf, answer, ask, field, goes_on, load, respond};

#[tokio::test]
async fn rate_limit_refuses_and_tells_what_is_left() {
    let shelf = Arc::new(Shelf::default());
    let config = json!({"limits": [{"name": "tenant", "by": ["tenant"], "capacity": 2, "per_minute": 60}]});
    let plugin = load("rate-limit", &config, &[Http, Identity, Counters, Notes], shelf.services());
    let of = |tenant: &str| Ask::default().claims(json!({ "tenant": tenant })).context();
    let request = of("acme");
    assert!(goes_on(ask(&plugin, &request).await).is_empty());
    let fields = respond(&plugin, Reply(BTreeMap::new()), &request).await;
    assert_eq!(fields["ratelimit-policy"], r#""tenant";q=2;w=2"#);
    assert_eq!(fields["ratelimit"], r#""tenant";r=1;t=2"#);
    goes_on(ask(&plugin, &of("acme")).await);
    let refused = answer(ask(&plugin, &of("acme")).await);
    assert_eq!((refused.status, field(&refused, "retry-after").as_deref()), (429, Some("1")));
    goes_on(ask(&plugin, &of("globex")).await);
}

const GRANTS: [Capability; 6] = [Http, Identity, Clock, KeyValue, Keys, Journal];

fn audit(shelf: &Arc<Shelf>, key: &str) -> Plugin {
    load("audit", &json!({ "key": key }), &GRANTS, shelf.services())
}

/// The records that were written.
fn recorded(shelf: &Shelf) -> Vec<Value> {
    shelf.records.lock().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn audit_chains_what_it_writes() {
    let shelf = Arc::new(Shelf::default());
    let plugin = audit(&shelf, "audit");
    let request = Ask::default().claims(json!({"tenant": "acme"})).context();
    goes_on(ask(&plugin, &request).await);
    respond(&plugin, Reply(BTreeMap::new()), &request).await;
    let records = recorded(&shelf);
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!((&records[0]["event"], &records[1]["event"]), (&json!("asked"), &json!("answered")));
    assert_eq!((&records[0]["n"], &records[1]["n"], &records[1]["status"]), (&json!(0), &json!(1), &json!(200)));
    assert_eq!(records[1]["prev"], records[0]["hash"]);
    assert_eq!(records[1]["tenant"], "acme");
    assert_eq!(answer(ask(&audit(&shelf, "other"), &Ask::default().context()).await).status, 503);
}

#[tokio::test]
async fn audit_never_forks_when_many_write_at_once() {
    const AT_ONCE: usize = 12;
    let shelf = Arc::new(Shelf::default());
    let plugin = audit(&shelf, "audit");
    let calls = (0..AT_ONCE).map(|_| {
        let plugin = plugin.clone();
        async move { goes_on(ask(&plugin, &Ask::default().context()).await) }
    });
    join_all(calls).await;
    let records = recorded(&shelf);
    let mut by_place: Vec<&Value> = records.iter().collect();
    by_place.sort_by_key(|record| record["n"].as_u64());
    assert_eq!(by_place.len(), AT_ONCE);
    assert!(by_place.iter().enumerate().all(|(n, record)| record["n"] == n && record["chain"] == by_place[0]["chain"]));
    assert!(by_place.windows(2).all(|pair| pair[1]["prev"] == pair[0]["hash"]), "{by_place:?}");
}
