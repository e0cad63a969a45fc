//! A bounded map whose entries end: what counters and kept values lie in.
//!
//! Split into shards, so that calls on many threads seldom wait for each other; an operation on a key is one step under
//! its shard's lock. Nothing sweeps: each operation looks at a few entries whose time has come, and one that finds the
//! map full at some more. An entry that still lives is never put out for another. Knows no clock: `now` is handed in.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::config::Quota;

/// Shards of one map.
const SHARDS: usize = 16;
/// Entries that every operation looks at, beside its own.
const REAPED_ALONG: usize = 2;
/// Entries of a shard that an operation looks at where there is no room.
const REAPED_FOR_ROOM: usize = 64;

/// Nanoseconds since the map was made.
pub(super) type Nanos = u64;

/// There is no room for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// What becomes of an entry.
pub(super) enum Step<V> {
    /// Nothing.
    Leave,
    /// It is there with this value of so many bytes until then.
    Put(V, usize, Nanos),
    /// It is gone.
    Remove,
}

/// The map.
pub(super) struct Expiring<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    hasher: RandomState,
    room: Room,
}

struct Shard<V> {
    entries: HashMap<Arc<str>, Entry<V>>,
    /// Every entry once, by when it is to be looked at: no later than when it ends, unless it was made to live longer
    /// since.
    agenda: BTreeMap<(Nanos, u64), Arc<str>>,
    next: u64,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    ends: Nanos,
    place: (Nanos, u64),
}

/// What all shards use together.
#[derive(Default)]
struct Room {
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

impl<V> Default for Expiring<V> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Shard::default())),
            hasher: RandomState::new(),
            room: Room::default(),
        }
    }
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), agenda: BTreeMap::new(), next: 0 }
    }
}

impl<V> Expiring<V> {
    /// One step on one key: `act` sees the value that lives and says what becomes of it. The quota may differ from that of
    /// earlier steps, since a reload can change it: what is there already stays.
    ///
    /// # Errors
    /// There is no room for what `act` wanted to put; nothing has changed then.
    pub(super) fn step<R>(
        &self,
        key: &str,
        now: Nanos,
        quota: Quota,
        act: impl FnOnce(Option<&V>) -> (R, Step<V>),
    ) -> Result<R, NoRoom> {
        let mut shard = self.shard(key).lock();
        shard.reap(now, REAPED_ALONG, &self.room);
        if shard.entries.get(key).is_some_and(|entry| entry.ends <= now) {
            shard.remove(key, &self.room);
        }
        let (result, step) = act(shard.entries.get(key).map(|entry| &entry.value));
        match step {
            Step::Leave => {}
            Step::Remove => shard.remove(key, &self.room),
            Step::Put(value, bytes, ends) => {
                let bytes = bytes.saturating_add(key.len());
                self.claim(&mut shard, key, bytes, now, quota)?;
                shard.put(key, value, bytes, ends);
            }
        }
        Ok(result)
    }

    /// How many entries there are, those that have ended and were not looked at since included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.room.entries.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &str) -> &Mutex<Shard<V>> {
        let [first, ..] = &self.shards;
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        self.shards.get(index).unwrap_or(first)
    }

    /// Takes room for `key` to have `bytes`, after making some where there is none.
    fn claim(&self, shard: &mut Shard<V>, key: &str, bytes: usize, now: Nanos, quota: Quota) -> Result<(), NoRoom> {
        let (entries, more) = match shard.entries.get(key) {
            Some(old) if old.bytes >= bytes => {
                self.room.give_back(0, old.bytes - bytes);
                return Ok(());
            }
            Some(old) => (0, bytes - old.bytes),
            None => (1, bytes),
        };
        if self.room.take(entries, more, quota) {
            return Ok(());
        }
        shard.reap(now, REAPED_FOR_ROOM, &self.room);
        // Its own shard is locked and left out by that, as is one that another call is at.
        for other in self.shards.iter().filter_map(Mutex::try_lock) {
            let mut other = other;
            other.reap(now, REAPED_FOR_ROOM, &self.room);
        }
        if self.room.take(entries, more, quota) { Ok(()) } else { Err(NoRoom) }
    }
}

impl<V> Shard<V> {
    fn put(&mut self, key: &str, value: V, bytes: usize, ends: Nanos) {
        if let Some(entry) = self.entries.get_mut(key) {
            let (due, id) = entry.place;
            if ends < due
                && let Some(key) = self.agenda.remove(&entry.place)
            {
                entry.place = (ends, id);
                self.agenda.insert(entry.place, key);
            }
            (entry.value, entry.bytes, entry.ends) = (value, bytes, ends);
            return;
        }
        let (key, place): (Arc<str>, _) = (key.into(), (ends, self.next));
        self.next += 1;
        self.agenda.insert(place, Arc::clone(&key));
        self.entries.insert(key, Entry { value, bytes, ends, place });
    }

    fn remove(&mut self, key: &str, room: &Room) {
        if let Some(entry) = self.entries.remove(key) {
            self.agenda.remove(&entry.place);
            room.give_back(1, entry.bytes);
        }
    }

    /// Looks at up to `most` entries that are due, and removes those that have ended.
    fn reap(&mut self, now: Nanos, most: usize, room: &Room) {
        for _ in 0..most {
            match self.agenda.first_key_value() {
                Some(((due, _), _)) if *due <= now => {}
                _ => return,
            }
            let Some(((_, id), key)) = self.agenda.pop_first() else { return };
            match self.entries.get_mut(&key) {
                Some(entry) if entry.ends > now => {
                    entry.place = (entry.ends, id);
                    self.agenda.insert(entry.place, key);
                }
                _ => {
                    if let Some(entry) = self.entries.remove(&key) {
                        room.give_back(1, entry.bytes);
                    }
                }
            }
        }
    }
}

impl Room {
    fn take(&self, entries: usize, bytes: usize, quota: Quota) -> bool {
        let fits = |most: usize, more: usize| {
            move |used: usize| used.checked_add(more).filter(|sum| more == 0 || *sum <= most)
        };
        let relaxed = Ordering::Relaxed;
        if self.entries.fetch_update(relaxed, relaxed, fits(quota.entries, entries)).is_err() {
            return false;
        }
        let fits_all = self.bytes.fetch_update(relaxed, relaxed, fits(quota.bytes, bytes)).is_ok();
        if !fits_all {
            self.entries.fetch_sub(entries, relaxed);
        }
        fits_all
    }

    fn give_back(&self, entries: usize, bytes: usize) {
        self.entries.fetch_sub(entries, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const QUOTA: Quota = Quota { entries: 4, bytes: 100 };

    fn put(map: &Expiring<u32>, key: &str, value: u32, bytes: usize, now: Nanos, ends: Nanos) -> Result<(), NoRoom> {
        map.step(key, now, QUOTA, |_| ((), Step::Put(value, bytes, ends)))
    }

    fn get(map: &Expiring<u32>, key: &str, now: Nanos) -> Option<u32> {
        map.step(key, now, QUOTA, |value| (value.copied(), Step::Leave)).unwrap()
    }

    #[test]
    fn a_full_map_takes_nothing_until_something_ends() {
        let map = Expiring::default();
        for key in ["a", "b", "c", "d"] {
            put(&map, key, 1, 1, 0, 10).unwrap();
        }
        assert_eq!(put(&map, "e", 1, 1, 9, 20), Err(NoRoom));
        assert_eq!((get(&map, "a", 9), get(&map, "e", 9)), (Some(1), None));
        // Those that live may change.
        put(&map, "a", 2, 1, 9, 30).unwrap();
        put(&map, "e", 1, 1, 10, 20).unwrap();
        assert_eq!((get(&map, "a", 10), get(&map, "b", 10), get(&map, "e", 10)), (Some(2), None, Some(1)));
    }

    #[test]
    fn bytes_are_counted_with_keys_and_a_refused_change_changes_nothing() {
        let map = Expiring::default();
        put(&map, "key", 1, 50, 0, 10).unwrap();
        assert_eq!(put(&map, "more", 1, 44, 0, 10), Err(NoRoom));
        put(&map, "more", 1, 43, 0, 10).unwrap();
        assert_eq!(put(&map, "key", 2, 51, 0, 10), Err(NoRoom));
        assert_eq!(get(&map, "key", 0), Some(1));
        put(&map, "key", 3, 10, 0, 10).unwrap();
        put(&map, "more", 2, 80, 0, 10).unwrap();
        map.step("key", 0, QUOTA, |_| ((), Step::<u32>::Remove)).unwrap();
        assert_eq!((map.len(), get(&map, "key", 0)), (1, None));
    }

    #[test]
    fn an_entry_that_ends_earlier_than_it_was_to_makes_room_then() {
        let map = Expiring::default();
        for key in ["a", "b", "c", "d"] {
            put(&map, key, 1, 1, 0, 1_000).unwrap();
        }
        put(&map, "a", 2, 1, 1, 5).unwrap();
        put(&map, "e", 1, 1, 5, 10).unwrap();
        assert_eq!(get(&map, "a", 5), None);
    }

    #[test]
    fn a_step_on_many_threads_is_one_step() {
        let map = Expiring::<u64>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let add = |value: Option<&u64>| ((), Step::Put(value.copied().unwrap_or(0) + 1, 8, u64::MAX));
                        map.step("key", 0, QUOTA, add).unwrap();
                    }
                });
            }
        });
        assert_eq!(map.step("key", 0, QUOTA, |value| (value.copied(), Step::Leave)).unwrap(), Some(4_000));
    }

    proptest! {
        /// Against a plain map without bounds on looking: nothing that lives is lost, nothing that ended is seen, and
        /// what is in use is what lives once everything due was looked at.
        #[test]
        fn behaves_as_a_plain_map(steps in proptest::collection::vec((0..6_u8, 0..30_usize, 0..20_u64, 0..5_u64), 1..200)) {
            let map = Expiring::default();
            let mut model: HashMap<u8, (u32, usize, u64)> = HashMap::new();
            let mut now = 0;
            for (turn, (key, bytes, life, passed)) in (0_u32..).zip(steps) {
                now += passed;
                model.retain(|_, (_, _, ends)| *ends > now);
                let name = key.to_string();
                prop_assert_eq!(get(&map, &name, now), model.get(&key).map(|(value, ..)| *value));
                if life == 0 {
                    map.step(&name, now, QUOTA, |_| ((), Step::<u32>::Remove)).unwrap();
                    model.remove(&key);
                    continue;
                }
                let others: usize = model.iter().filter(|(other, _)| **other != key).map(|(_, (_, b, _))| b + 1).sum();
                let count = model.keys().filter(|other| **other != key).count();
                // A value that grows no larger always fits.
                let shrinks = model.get(&key).is_some_and(|(_, before, _)| bytes <= *before);
                let fits = shrinks || (others + bytes < QUOTA.bytes && (count < QUOTA.entries));
                prop_assert_eq!(put(&map, &name, turn, bytes, now, now + life).is_ok(), fits);
                if fits {
                    model.insert(key, (turn, bytes, now + life));
                }
            }
        }
    }
}
