//! Stages `cache: lookup` and `cache: store`: whole inferences, in memory, bounded by bytes, one flight per key.
//!
//! What is stored is the canonical answer, opened and before any client-side sealing, so that every caller's form can
//! be made from it. The cache knows tensors and time; it knows no request, no route and no region.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use forebay_oip::{Encoded, InferResponse};
use moka::Expiry;
use moka::sync::Cache;

mod flight;
pub(crate) mod key;

pub(crate) use flight::Lookup;
pub(crate) use key::Key;

use flight::Flights;

/// Bytes that one entry costs beside its tensors: key, bookkeeping of the map and its policy, names and shapes.
const ENTRY_OVERHEAD_BYTES: usize = 512;

/// Answers by key.
pub(crate) struct AnswerCache {
    answers: Cache<Key, Arc<Stored>>,
    flights: Flights,
}

/// An answer that was kept.
pub(crate) struct Stored {
    /// The canonical answer, without the asker's `id`.
    pub(crate) answer: InferResponse,
    made: Instant,
    ttl: Duration,
    json: OnceLock<Encoded>,
}

impl Stored {
    /// An answer that stays fresh for `ttl` from `now`.
    pub(crate) fn new(mut answer: InferResponse, now: Instant, ttl: Duration) -> Self {
        answer.id = None;
        Self { answer, made: now, ttl, json: OnceLock::new() }
    }

    /// Time that it has been kept.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made)
    }

    /// The answer as plain JSON, made once: most callers of an entry want these very bytes.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn json<E>(&self, make: impl FnOnce() -> Result<Encoded, E>) -> Result<Encoded, E> {
        if let Some(encoded) = self.json.get() {
            return Ok(encoded.clone());
        }
        let encoded = make()?;
        Ok(self.json.get_or_init(|| encoded).clone())
    }

    /// What the entry may come to weigh, its JSON form included.
    fn weight_bytes(&self) -> u32 {
        let tensors: usize = self.answer.outputs.iter().map(|t| t.data.len().saturating_mul(5)).sum();
        u32::try_from(tensors.saturating_add(ENTRY_OVERHEAD_BYTES)).unwrap_or(u32::MAX)
    }
}

/// Each entry has its own time.
struct ByEntry;

impl Expiry<Key, Arc<Stored>> for ByEntry {
    fn expire_after_create(&self, _: &Key, stored: &Arc<Stored>, _: Instant) -> Option<Duration> {
        Some(stored.ttl)
    }
}

impl AnswerCache {
    /// An empty cache of this many bytes.
    pub(crate) fn new(memory_bytes: u64) -> Self {
        let answers = Cache::builder()
            .max_capacity(memory_bytes)
            .weigher(|_: &Key, stored: &Arc<Stored>| stored.weight_bytes())
            .expire_after(ByEntry)
            .build();
        Self { answers, flights: Flights::default() }
    }

    /// The answer for `key`, at most `max_age` old; or the duty to get it, where nobody else is getting it. Waits for one who is, until
    /// `deadline`, and takes over where that one gives up.
    ///
    /// # Errors
    /// The deadline passed while waiting.
    pub(crate) async fn lookup(
        self: &Arc<Self>,
        key: Key,
        max_age: Duration,
        deadline: Instant,
    ) -> Result<Lookup, flight::WaitedTooLong> {
        flight::lookup(self, key, max_age, deadline).await
    }

    fn fresh(&self, key: &Key, max_age: Duration) -> Option<Arc<Stored>> {
        self.answers.get(key).filter(|stored| stored.age(Instant::now()) < max_age)
    }

    /// Entries and bytes now held.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.answers.entry_count(), self.answers.weighted_size())
    }
}
