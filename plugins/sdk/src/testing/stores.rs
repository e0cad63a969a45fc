//! Doubles of `counters` and `key_value`: they keep time by the test's clock.

use std::collections::BTreeMap;

use crate::counters::{CounterError, Taken};
use crate::key_value::StoreError;

const KEY_BYTES: usize = 256;
const VALUE_BYTES: usize = 65_536;
/// Token fractions are counted in sixty-thousandths: what one token a minute gains in a millisecond.
const PART: u128 = 60_000;

/// What outlives a call.
#[derive(Default)]
pub(crate) struct Stores {
    counters: BTreeMap<String, (u64, u64)>,
    buckets: BTreeMap<String, (u128, u64)>,
    values: BTreeMap<String, (Vec<u8>, u64)>,
    pub(crate) counter_error: Option<CounterError>,
    pub(crate) store_error: Option<StoreError>,
}

impl Stores {
    fn counter_key(&self, key: &str) -> Result<(), CounterError> {
        match self.counter_error {
            Some(error) => Err(error),
            None if key.len() > KEY_BYTES => Err(CounterError::Full),
            None => Ok(()),
        }
    }

    fn value_key(&mut self, key: &str, value: &[u8], now_ms: u64) -> Result<(), StoreError> {
        self.values.retain(|_, (_, until_ms)| *until_ms > now_ms);
        match self.store_error {
            Some(error) => Err(error),
            None if key.len() > KEY_BYTES || value.len() > VALUE_BYTES => Err(StoreError::TooLarge),
            None => Ok(()),
        }
    }
}

fn until(now_ms: u64, seconds: u32) -> u64 {
    now_ms.saturating_add(u64::from(seconds) * 1_000)
}

/// Adds to a counter that goes back to 0 `window_s` seconds after its first addition.
///
/// # Errors
/// As in the host.
pub fn add(key: &str, by: u64, window_s: u32) -> Result<u64, CounterError> {
    super::with(|host| {
        host.stores.counter_key(key)?;
        let now_ms = host.now_ms;
        let counter = host.stores.counters.entry(key.to_owned()).or_insert((0, until(now_ms, window_s)));
        if counter.1 <= now_ms {
            *counter = (0, until(now_ms, window_s));
        }
        counter.0 = counter.0.saturating_add(by);
        Ok(counter.0)
    })
}

/// A counter's value.
///
/// # Errors
/// As in the host.
pub fn counter(key: &str) -> Result<u64, CounterError> {
    super::with(|host| {
        host.stores.counter_key(key)?;
        let counter = host.stores.counters.get(key).filter(|(_, until_ms)| *until_ms > host.now_ms);
        Ok(counter.map_or(0, |(value, _)| *value))
    })
}

/// Takes tokens from a bucket.
///
/// # Errors
/// As in the host.
pub fn take(bucket: &str, tokens: u64, capacity: u64, per_minute: u64) -> Result<Taken, CounterError> {
    super::with(|host| {
        host.stores.counter_key(bucket)?;
        let (now_ms, full) = (host.now_ms, u128::from(capacity) * PART);
        let state = host.stores.buckets.entry(bucket.to_owned()).or_insert((full, now_ms));
        let gained = u128::from(now_ms.saturating_sub(state.1)) * u128::from(per_minute);
        let (mut level, wanted) = (state.0.saturating_add(gained).min(full), u128::from(tokens) * PART);
        let granted = level >= wanted;
        if granted {
            level -= wanted;
        }
        *state = (level, now_ms);
        let wait = |missing: u128| {
            let ms = missing.div_ceil(u128::from(per_minute.max(1)));
            u64::try_from(ms).unwrap_or(u64::MAX)
        };
        Ok(Taken {
            granted,
            remaining: u64::try_from(level / PART).unwrap_or(u64::MAX),
            retry_after_ms: if granted { 0 } else { wait(wanted - level) },
            reset_ms: wait(full - level),
        })
    })
}

/// A value that is kept.
///
/// # Errors
/// As in the host.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    super::with(|host| {
        host.stores.value_key(key, &[], host.now_ms)?;
        Ok(host.stores.values.get(key).map(|(value, _)| value.clone()))
    })
}

/// Keeps a value.
///
/// # Errors
/// As in the host.
pub fn set(key: &str, value: &[u8], ttl_s: u32) -> Result<(), StoreError> {
    super::with(|host| {
        host.stores.value_key(key, value, host.now_ms)?;
        host.stores.values.insert(key.to_owned(), (value.to_vec(), until(host.now_ms, ttl_s)));
        Ok(())
    })
}

/// Keeps a value unless there is one; true when it was kept.
///
/// # Errors
/// As in the host.
pub fn set_if_absent(key: &str, value: &[u8], ttl_s: u32) -> Result<bool, StoreError> {
    match get(key)? {
        Some(_) => Ok(false),
        None => set(key, value, ttl_s).map(|()| true),
    }
}

/// Drops a value.
///
/// # Errors
/// As in the host.
pub fn delete(key: &str) -> Result<(), StoreError> {
    super::with(|host| {
        host.stores.value_key(key, &[], host.now_ms)?;
        host.stores.values.remove(key);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing;

    #[test]
    fn buckets_fill_evenly_and_never_above_their_capacity() {
        assert!(take("b", 2, 2, 60).unwrap().granted);
        let empty = take("b", 1, 2, 60).unwrap();
        assert_eq!((empty.granted, empty.retry_after_ms, empty.reset_ms), (false, 1_000, 2_000));
        testing::advance_ms(1_000);
        assert!(take("b", 1, 2, 60).unwrap().granted);
        testing::advance_ms(3_600_000);
        assert_eq!(take("b", 0, 2, 60).unwrap().remaining, 2);
    }

    #[test]
    fn counters_and_values_end_with_their_time() {
        assert_eq!((add("c", 2, 1), add("c", 1, 1), counter("c")), (Ok(2), Ok(3), Ok(3)));
        assert_eq!((set_if_absent("k", b"1", 1), set_if_absent("k", b"2", 1)), (Ok(true), Ok(false)));
        testing::advance_ms(1_000);
        assert_eq!((counter("c"), get("k")), (Ok(0), Ok(None)));
        testing::fail_counters(Some(CounterError::Unavailable));
        assert_eq!(add("c", 1, 1), Err(CounterError::Unavailable));
    }
}
