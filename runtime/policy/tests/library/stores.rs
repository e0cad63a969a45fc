//! Plugins that remember.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use forebay_policy::Capability::{Clock, Counters, Http, Identity, KeyValue, Keys, Log, Notes};
use parking_lot::Mutex;
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

/// Lines of the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn audit_chains_what_it_writes() {
    let shelf = Arc::new(Shelf::default());
    let plugin =
        load("audit", &json!({"key": "audit"}), &[Http, Identity, Clock, KeyValue, Keys, Log], shelf.services());
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let request = Ask::default().claims(json!({"tenant": "acme"})).context();
    goes_on(ask(&plugin, &request).await);
    respond(&plugin, Reply(BTreeMap::new()), &request).await;
    drop(guard);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    let records: Vec<Value> = text.lines().filter_map(record).collect();
    assert_eq!(records.len(), 2, "{text}");
    assert_eq!((&records[0]["event"], &records[1]["event"]), (&json!("asked"), &json!("answered")));
    assert_eq!((&records[0]["n"], &records[1]["n"], &records[1]["status"]), (&json!(0), &json!(1), &json!(200)));
    assert_eq!(records[1]["prev"], records[0]["hash"]);
    assert_eq!(records[1]["tenant"], "acme");

    let keyless =
        load("audit", &json!({"key": "other"}), &[Http, Identity, Clock, KeyValue, Keys, Log], shelf.services());
    assert_eq!(answer(ask(&keyless, &Ask::default().context()).await).status, 503);
}

/// The record in a line of the log, if there is one: some field or the message has it as text.
fn record(line: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields")?.as_object()?;
    fields
        .values()
        .filter_map(Value::as_str)
        .find_map(|text| serde_json::from_str::<Value>(text).ok())
        .filter(Value::is_object)
}
