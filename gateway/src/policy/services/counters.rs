//! Behind `counters`: windows and token buckets of one plugin on this node.
//!
//! What they decide are pure functions of what there was and of `now`. Arithmetic is in whole numbers, so a bucket gains
//! exactly what it should, however often it is asked.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_policy::services::{CounterFailure, Counters, Take, Taken, Wait};

use super::expiring::{Expiring, Nanos, NoRoom, Step};
use crate::config::Quota;

/// Nanoseconds of a minute: a bucket's level is kept in this part of a token, of which it gains `per_minute` in each
/// nanosecond.
const PARTS: u128 = 60_000_000_000;

/// A counter: what was added since its window began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    value: u64,
    ends: Nanos,
}

impl Window {
    /// What is there after an addition.
    fn add(before: Option<Self>, by: u64, length: Duration, now: Nanos) -> Self {
        match before.filter(|window| window.ends > now) {
            Some(window) => Self { value: window.value.saturating_add(by), ..window },
            None => Self { value: by, ends: now.saturating_add(nanos(length)) },
        }
    }
}

/// A bucket as it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    /// In parts of a token.
    level: u128,
    at: Nanos,
}

impl Bucket {
    /// What a bucket says, and how it is left. None before: it is full.
    fn take(before: Option<Self>, ask: &Take, now: Nanos) -> (Taken, Self) {
        let capacity = u128::from(ask.capacity) * PARTS;
        let (level, at) = match before {
            None => (capacity, now),
            Some(Self { level, at }) => {
                let gained = u128::from(now.saturating_sub(at)) * u128::from(ask.per_minute);
                (level.saturating_add(gained).min(capacity), now.max(at))
            }
        };
        let price = u128::from(ask.tokens) * PARTS;
        let rest = level.checked_sub(price);
        let level = rest.unwrap_or(level);
        let retry_after = match rest {
            Some(_) => Duration::ZERO,
            None if ask.tokens > ask.capacity => Duration::MAX,
            None => until(price - level, ask.per_minute),
        };
        let taken = Taken {
            granted: rest.is_some(),
            remaining: u64::try_from(level / PARTS).unwrap_or(u64::MAX),
            retry_after,
            reset: until(capacity - level, ask.per_minute),
        };
        (taken, Self { level, at })
    }
}

/// How long until so many parts were gained, in whole nanoseconds and never too early. Without a gain: for ever.
fn until(parts: u128, per_minute: u64) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    if parts == 0 {
        return Duration::ZERO;
    }
    if per_minute == 0 {
        return Duration::MAX;
    }
    let nanos = parts.div_ceil(per_minute.into());
    match (u64::try_from(nanos / SECOND), u32::try_from(nanos % SECOND)) {
        (Ok(seconds), Ok(rest)) => Duration::new(seconds, rest),
        _ => Duration::MAX,
    }
}

fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX)
}

/// What is kept under one name. A counter and a bucket of the same name are two things.
#[derive(Clone, Copy, Default)]
struct Kept {
    window: Option<Window>,
    bucket: Option<(Bucket, Nanos)>,
}

impl Kept {
    /// Keeps it as long as it says more than nothing would: a counter until its window ends, a bucket until it is full.
    fn step(self, now: Nanos) -> Step<Self> {
        let window = self.window.filter(|window| window.ends > now);
        let bucket = self.bucket.filter(|(_, full)| *full > now);
        let ends = window.map_or(0, |window| window.ends).max(bucket.map_or(0, |(_, full)| full));
        if ends > now { Step::Put(Self { window, bucket }, size_of::<Self>(), ends) } else { Step::Remove }
    }
}

/// The counters and buckets of one plugin. They outlive a reload.
pub(super) struct CounterStore {
    kept: Expiring<Kept>,
    started: Instant,
}

impl Default for CounterStore {
    fn default() -> Self {
        Self { kept: Expiring::default(), started: Instant::now() }
    }
}

impl CounterStore {
    fn now(&self) -> Nanos {
        nanos(self.started.elapsed())
    }

    fn add(&self, key: &str, by: u64, length: Duration, most: usize, now: Nanos) -> Result<u64, NoRoom> {
        self.kept.step(key, now, quota(most), |kept| {
            let kept = kept.copied().unwrap_or_default();
            let window = Window::add(kept.window, by, length, now);
            (window.value, Kept { window: Some(window), ..kept }.step(now))
        })
    }

    fn get(&self, key: &str, most: usize, now: Nanos) -> Result<u64, NoRoom> {
        self.kept.step(key, now, quota(most), |kept| {
            let window = kept.and_then(|kept| kept.window).filter(|window| window.ends > now);
            (window.map_or(0, |window| window.value), Step::Leave)
        })
    }

    fn take(&self, key: &str, ask: &Take, most: usize, now: Nanos) -> Result<Taken, NoRoom> {
        self.kept.step(key, now, quota(most), |kept| {
            let kept = kept.copied().unwrap_or_default();
            let before = kept.bucket.filter(|(_, full)| *full > now).map(|(bucket, _)| bucket);
            let (taken, bucket) = Bucket::take(before, ask, now);
            let full = if taken.reset == Duration::MAX { Nanos::MAX } else { now.saturating_add(nanos(taken.reset)) };
            (taken, Kept { bucket: Some((bucket, full)), ..kept }.step(now))
        })
    }
}

/// Entries are of one size, and keys are short: their number is bound enough.
fn quota(most: usize) -> Quota {
    Quota { entries: most, bytes: usize::MAX }
}

/// A plugin's way to its counters.
pub(super) struct PluginCounters {
    pub(super) store: Arc<CounterStore>,
    /// The most counters and buckets together.
    pub(super) most: usize,
}

impl Counters for PluginCounters {
    fn add<'a>(&'a self, key: &'a str, by: u64, window: Duration) -> Wait<'a, Result<u64, CounterFailure>> {
        Box::pin(ready(self.store.add(key, by, window, self.most, self.store.now()).map_err(CounterFailure::from)))
    }

    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<u64, CounterFailure>> {
        Box::pin(ready(self.store.get(key, self.most, self.store.now()).map_err(CounterFailure::from)))
    }

    fn take<'a>(&'a self, bucket: &'a str, take: Take) -> Wait<'a, Result<Taken, CounterFailure>> {
        Box::pin(ready(self.store.take(bucket, &take, self.most, self.store.now()).map_err(CounterFailure::from)))
    }
}

impl From<NoRoom> for CounterFailure {
    fn from(NoRoom: NoRoom) -> Self {
        Self::Full
    }
}

#[cfg(test)]
mod tests;
