//! What is behind a plugin's capabilities while it is tried on its own: stores in memory, no key, no network, no model.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_policy::Services;
use forebay_policy::services::{
    CounterFailure, Counters, Incoming, Inference, InferenceFailure, Journal, JournalFailure, KeyFailure, KeyValue,
    Keys, Numbers, Outbound, OutboundFailure, Outgoing, PlainTensor, StoreFailure, Take, Taken, Wait,
};
use parking_lot::Mutex;

/// The most counters, buckets or values.
const ENTRIES: usize = 10_000;

/// Services that reach nothing outside this process.
pub(super) fn offline() -> Services {
    let offline = Arc::new(Offline::default());
    Services {
        counters: Some(Arc::clone(&offline) as Arc<dyn Counters>),
        key_value: Some(Arc::clone(&offline) as Arc<dyn KeyValue>),
        keys: Some(Arc::clone(&offline) as Arc<dyn Keys>),
        numbers: Some(Arc::clone(&offline) as Arc<dyn Numbers>),
        outbound: Some(Arc::clone(&offline) as Arc<dyn Outbound>),
        journal: Some(Arc::clone(&offline) as Arc<dyn Journal>),
        inference: Some(offline),
        ..Services::default()
    }
}

#[derive(Default)]
struct Offline {
    /// Counts and tokens taken. Windows never end: a trial is short.
    counts: Mutex<HashMap<String, u64>>,
    values: Mutex<HashMap<String, Bytes>>,
}

impl Offline {
    fn add(&self, key: &str, by: u64) -> Result<u64, CounterFailure> {
        let mut counts = self.counts.lock();
        if counts.len() >= ENTRIES && !counts.contains_key(key) {
            return Err(CounterFailure::Full);
        }
        let count = counts.entry(key.to_owned()).or_default();
        *count = count.saturating_add(by);
        Ok(*count)
    }
}

/// An answer that is there at once.
fn now<'a, T: Send + 'a>(value: T) -> Wait<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Counters for Offline {
    fn add<'a>(&'a self, key: &'a str, by: u64, _: Duration) -> Wait<'a, Result<u64, CounterFailure>> {
        now(Self::add(self, &format!("counter/{key}"), by))
    }

    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<u64, CounterFailure>> {
        now(Ok(self.counts.lock().get(&format!("counter/{key}")).copied().unwrap_or_default()))
    }

    fn take<'a>(&'a self, bucket: &'a str, take: Take) -> Wait<'a, Result<Taken, CounterFailure>> {
        let key = format!("bucket/{bucket}");
        let used = self.counts.lock().get(&key).copied().unwrap_or_default();
        let granted = used.saturating_add(take.tokens) <= take.capacity;
        let used = if granted { Self::add(self, &key, take.tokens) } else { Ok(used) };
        let refill = |tokens: u64| Duration::from_secs(tokens.saturating_mul(60) / take.per_minute.max(1));
        now(used.map(|used| {
            let remaining = take.capacity.saturating_sub(used);
            let lacking = if granted { 0 } else { take.tokens.saturating_sub(remaining) };
            Taken { granted, remaining, retry_after: refill(lacking), reset: refill(used) }
        }))
    }
}

impl KeyValue for Offline {
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Bytes>, StoreFailure>> {
        now(Ok(self.values.lock().get(key).cloned()))
    }

    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        _: Duration,
        if_absent: bool,
    ) -> Wait<'a, Result<bool, StoreFailure>> {
        let mut values = self.values.lock();
        let is_there = values.contains_key(key);
        if is_there && if_absent {
            return now(Ok(false));
        }
        if values.len() >= ENTRIES && !is_there {
            return now(Err(StoreFailure::Full));
        }
        values.insert(key.to_owned(), value);
        now(Ok(true))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StoreFailure>> {
        self.values.lock().remove(key);
        now(Ok(()))
    }
}

impl Keys for Offline {
    fn sign(&self, _: &str, _: &str, _: &[u8]) -> Result<Vec<u8>, KeyFailure> {
        Err(KeyFailure::NoKey)
    }

    fn verify(&self, _: &str, _: &str, _: &[u8], _: &[u8]) -> Result<bool, KeyFailure> {
        Err(KeyFailure::NoKey)
    }

    fn seal(&self, _: &str, _: &str, _: &str) -> Result<String, KeyFailure> {
        Err(KeyFailure::NoKey)
    }

    fn open(&self, _: &str, _: &str, _: &str) -> Result<String, KeyFailure> {
        Err(KeyFailure::NoKey)
    }
}

impl Numbers for Offline {
    fn count(&self, _: &str, _: u64) {}

    fn observe(&self, _: &str, _: f64) {}
}

impl Journal for Offline {
    fn append(&self, _: &str) -> Result<(), JournalFailure> {
        Ok(())
    }
}

impl Outbound for Offline {
    fn send(&self, _: Outgoing, _: Instant) -> Wait<'_, Result<Incoming, OutboundFailure>> {
        now(Err(OutboundFailure::Unreachable))
    }
}

impl Inference for Offline {
    fn infer<'a>(
        &'a self,
        _: &'a str,
        _: Option<Vec<String>>,
        _: &'a str,
        _: Vec<PlainTensor>,
        _: Instant,
    ) -> Wait<'a, Result<Vec<PlainTensor>, InferenceFailure>> {
        now(Err(InferenceFailure::Unavailable))
    }
}
