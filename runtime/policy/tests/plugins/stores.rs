//! The guest that asks for too much, with stores behind it that would give it everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_policy::services::{CounterFailure, Counters, KeyValue, Numbers, StoreFailure, Take, Taken, Wait};
use forebay_policy::{LoadError, Outcome, Plugin, Services};
use parking_lot::Mutex;

use super::support::{ENGINE, ask, of_acme, spec};

/// Stores without a bound of their own.
#[derive(Default)]
struct Endless {
    counts: Mutex<BTreeMap<String, u64>>,
    values: Mutex<BTreeMap<String, Bytes>>,
}

impl Counters for Endless {
    fn add<'a>(&'a self, key: &'a str, by: u64, _: Duration) -> Wait<'a, Result<u64, CounterFailure>> {
        let mut counts = self.counts.lock();
        let count = counts.entry(key.to_owned()).or_default();
        *count = count.saturating_add(by);
        let count = *count;
        Box::pin(std::future::ready(Ok(count)))
    }
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<u64, CounterFailure>> {
        Box::pin(std::future::ready(Ok(self.counts.lock().get(key).copied().unwrap_or_default())))
    }
    fn take<'a>(&'a self, _: &'a str, take: Take) -> Wait<'a, Result<Taken, CounterFailure>> {
        let none = Duration::ZERO;
        let taken = Taken { granted: true, remaining: take.capacity, retry_after: none, reset: none };
        Box::pin(std::future::ready(Ok(taken)))
    }
}

impl KeyValue for Endless {
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Bytes>, StoreFailure>> {
        Box::pin(std::future::ready(Ok(self.values.lock().get(key).cloned())))
    }
    fn set<'a>(&'a self, key: &'a str, value: Bytes, _: Duration, _: bool) -> Wait<'a, Result<bool, StoreFailure>> {
        self.values.lock().insert(key.to_owned(), value);
        Box::pin(std::future::ready(Ok(true)))
    }
    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StoreFailure>> {
        self.values.lock().remove(key);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Numbers for Endless {
    fn count(&self, _: &str, _: u64) {}
    fn observe(&self, _: &str, value: f64) {
        assert!(value.is_finite(), "the host lets through what is no number");
    }
}

/// A store that never answers.
struct Silent;

impl Counters for Silent {
    fn add<'a>(&'a self, _: &'a str, _: u64, _: Duration) -> Wait<'a, Result<u64, CounterFailure>> {
        Box::pin(std::future::pending())
    }
    fn get<'a>(&'a self, _: &'a str) -> Wait<'a, Result<u64, CounterFailure>> {
        Box::pin(std::future::pending())
    }
    fn take<'a>(&'a self, _: &'a str, _: Take) -> Wait<'a, Result<Taken, CounterFailure>> {
        Box::pin(std::future::pending())
    }
}

/// The guest that asks for this.
pub(crate) fn greedy(act: &str) -> Result<Plugin, LoadError> {
    load(act, Arc::new(Endless::default()))
}

fn load(act: &str, counters: Arc<dyn Counters>) -> Result<Plugin, LoadError> {
    let stores = Arc::new(Endless::default());
    let mut spec = spec("greedy", act);
    spec.limits.deadline = Duration::from_secs(5);
    spec.services = Services {
        counters: Some(counters),
        key_value: Some(Arc::clone(&stores) as Arc<dyn KeyValue>),
        numbers: Some(stores),
        ..Services::default()
    };
    ENGINE.load(spec)
}

#[tokio::test]
async fn what_is_too_long_is_told_so_and_harms_nobody() {
    for (act, expected) in [
        ("long-key", "\"full\""),
        ("long-bucket", "\"full\""),
        ("long-store-key", "\"too-large\""),
        ("long-value", "\"too-large\""),
        ("note-flood", "16"),
    ] {
        let ended = ask(&greedy(act).unwrap()).await;
        let Ok(Outcome::Answer(answer)) = ended else { panic!("{act}: {ended:?}") };
        let told = answer.headers[0].1.to_str().unwrap();
        assert!(told.contains(expected), "{act}: {told}");
    }
}

#[tokio::test]
async fn a_plugin_waits_for_its_store_without_computing_and_no_longer_than_its_caller() {
    let plugin = load("counter-flood", Arc::new(Silent)).unwrap();
    let started = Instant::now();
    let waited = tokio::time::timeout(Duration::from_millis(50), plugin.on_request(&of_acme())).await;
    assert!(waited.is_err() && started.elapsed() < Duration::from_secs(4), "{waited:?}");
    // Its place is free again.
    assert!(ask(&greedy("long-key").unwrap()).await.is_ok());
}
