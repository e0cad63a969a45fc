//! Behind `key-value`: small values of one plugin on this node.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_policy::services::{KeyValue, StoreFailure, Wait};

use super::expiring::{Expiring, Nanos, NoRoom, Step};
use crate::config::Quota;

/// A value to keep.
struct New {
    value: Bytes,
    ttl: Duration,
    if_absent: bool,
}

/// The values of one plugin. They outlive a reload.
pub(super) struct ValueStore {
    kept: Expiring<Bytes>,
    started: Instant,
}

impl Default for ValueStore {
    fn default() -> Self {
        Self { kept: Expiring::default(), started: Instant::now() }
    }
}

impl ValueStore {
    fn now(&self) -> Nanos {
        nanos(self.started.elapsed())
    }

    fn get(&self, key: &str, quota: Quota, now: Nanos) -> Result<Option<Bytes>, NoRoom> {
        self.kept.step(key, now, quota, |value| (value.cloned(), Step::Leave))
    }

    fn set(&self, key: &str, new: New, quota: Quota, now: Nanos) -> Result<bool, NoRoom> {
        self.kept.step(key, now, quota, |before| match before {
            Some(_) if new.if_absent => (false, Step::Leave),
            _ => {
                let bytes = new.value.len();
                (true, Step::Put(new.value, bytes, now.saturating_add(nanos(new.ttl))))
            }
        })
    }

    fn delete(&self, key: &str, quota: Quota, now: Nanos) -> Result<(), NoRoom> {
        self.kept.step(key, now, quota, |_| ((), Step::Remove))
    }
}

fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX)
}

/// A plugin's way to its values.
pub(super) struct PluginValues {
    pub(super) store: Arc<ValueStore>,
    pub(super) quota: Quota,
}

impl KeyValue for PluginValues {
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Bytes>, StoreFailure>> {
        Box::pin(ready(self.store.get(key, self.quota, self.store.now()).map_err(StoreFailure::from)))
    }

    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
        if_absent: bool,
    ) -> Wait<'a, Result<bool, StoreFailure>> {
        let kept = self.store.set(key, New { value, ttl, if_absent }, self.quota, self.store.now());
        Box::pin(ready(kept.map_err(StoreFailure::from)))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StoreFailure>> {
        Box::pin(ready(self.store.delete(key, self.quota, self.store.now()).map_err(StoreFailure::from)))
    }
}

impl From<NoRoom> for StoreFailure {
    fn from(NoRoom: NoRoom) -> Self {
        Self::Full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;
    const QUOTA: Quota = Quota { entries: 2, bytes: 100 };

    fn set(store: &ValueStore, key: &str, value: &'static [u8], ttl_s: u64, now: Nanos) -> Result<bool, NoRoom> {
        let new = New { value: Bytes::from_static(value), ttl: Duration::from_secs(ttl_s), if_absent: false };
        store.set(key, new, QUOTA, now)
    }

    #[test]
    fn a_value_is_there_until_its_time_is_over() {
        let store = ValueStore::default();
        assert_eq!(set(&store, "a", b"1", 10, 0), Ok(true));
        assert_eq!(store.get("a", QUOTA, 10 * SECOND - 1), Ok(Some(Bytes::from_static(b"1"))));
        assert_eq!(store.get("a", QUOTA, 10 * SECOND), Ok(None));
        assert_eq!(set(&store, "b", b"2", 10, 0), Ok(true));
        assert_eq!(store.delete("b", QUOTA, 0), Ok(()));
        assert_eq!(store.get("b", QUOTA, 0), Ok(None));
    }

    #[test]
    fn the_first_alone_is_kept_where_there_must_be_none() {
        let store = ValueStore::default();
        let first = |value, now| {
            let new = New { value: Bytes::from_static(value), ttl: Duration::from_secs(1), if_absent: true };
            store.set("a", new, QUOTA, now)
        };
        assert_eq!((first(b"1", 0), first(b"2", 0)), (Ok(true), Ok(false)));
        assert_eq!(store.get("a", QUOTA, 0), Ok(Some(Bytes::from_static(b"1"))));
        assert_eq!(first(b"3", SECOND), Ok(true));
    }

    #[test]
    fn a_full_store_puts_nothing_out() {
        let store = ValueStore::default();
        assert_eq!(set(&store, "a", b"1", 10, 0), Ok(true));
        assert_eq!(set(&store, "b", &[0; 90], 20, 0), Ok(true));
        assert_eq!(set(&store, "c", b"3", 10, 0), Err(NoRoom));
        assert_eq!(set(&store, "a", &[0; 20], 10, 0), Err(NoRoom));
        assert_eq!(store.get("a", QUOTA, 0), Ok(Some(Bytes::from_static(b"1"))));
        assert_eq!(set(&store, "c", b"3", 10, 10 * SECOND), Ok(true));
    }
}
