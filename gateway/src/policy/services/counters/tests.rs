#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const SECOND: Nanos = 1_000_000_000;

fn ask(tokens: u64, capacity: u64, per_minute: u64) -> Take {
    Take { tokens, capacity, per_minute }
}

#[test]
fn a_counter_goes_back_to_nothing_when_its_window_ends() {
    let store = CounterStore::default();
    let minute = Duration::from_secs(60);
    assert_eq!(store.add("a", 2, minute, 9, 0), Ok(2));
    assert_eq!(store.add("a", 3, minute, 9, 59 * SECOND), Ok(5));
    assert_eq!(store.get("a", 9, 60 * SECOND - 1), Ok(5));
    assert_eq!(store.get("a", 9, 60 * SECOND), Ok(0));
    assert_eq!(store.add("a", 1, minute, 9, 60 * SECOND), Ok(1));
    assert_eq!(store.add("a", u64::MAX, minute, 9, 61 * SECOND), Ok(u64::MAX));
    assert_eq!(store.get("b", 9, 0), Ok(0));
}

#[test]
fn a_bucket_says_when_to_come_again() {
    let store = CounterStore::default();
    let take = |tokens, now| store.take("b", &ask(tokens, 10, 60), 9, now).unwrap();
    let first = take(10, 0);
    assert!(first.granted && first.remaining == 0 && first.retry_after == Duration::ZERO);
    assert_eq!(first.reset, Duration::from_secs(10));
    let refused = take(3, SECOND);
    assert_eq!((refused.granted, refused.remaining), (false, 1));
    assert_eq!(refused.retry_after, Duration::from_secs(2));
    assert!(!take(3, 3 * SECOND - 1).granted);
    assert!(take(3, 3 * SECOND).granted);
    assert_eq!(take(11, 1_000 * SECOND).retry_after, Duration::MAX);
    // What gains nothing is never full again.
    let once = |now| store.take("once", &ask(1, 1, 0), 9, now).unwrap();
    assert!(once(0).granted);
    let spent = once(u64::MAX - 1);
    assert!(!spent.granted && spent.retry_after == Duration::MAX && spent.reset == Duration::MAX);
}

#[test]
fn a_counter_and_a_bucket_of_one_name_are_two_things() {
    let store = CounterStore::default();
    assert_eq!(store.add("x", 7, Duration::from_secs(1), 1, 0), Ok(7));
    assert!(store.take("x", &ask(1, 1, 1), 1, 0).unwrap().granted);
    assert_eq!(store.get("x", 1, 0), Ok(7));
    // The counter ends before the bucket is full.
    assert!(!store.take("x", &ask(1, 1, 1), 1, 2 * SECOND).unwrap().granted);
    assert_eq!(store.get("x", 1, 2 * SECOND), Ok(0));
    assert_eq!(store.kept.len(), 1);
}

#[test]
fn those_that_are_full_again_make_room() {
    let store = CounterStore::default();
    for i in 0..100 {
        assert!(store.take(&format!("b{i}"), &ask(1, 10, 60), 100, 0).unwrap().granted);
    }
    assert_eq!(store.take("more", &ask(1, 10, 60), 100, 0), Err(NoRoom));
    // Asking for nothing, or for too much, keeps nothing.
    assert!(store.take("more", &ask(0, 10, 60), 100, 0).unwrap().granted);
    assert!(!store.take("more", &ask(11, 10, 60), 100, 0).unwrap().granted);
    assert!(store.take("more", &ask(1, 10, 60), 100, SECOND).unwrap().granted);
    assert!(store.kept.len() <= 100);
}

proptest! {
    /// In whatever way a bucket is asked, through the store with its forgetting, the tokens that it grants in any
    /// stretch of time are at most its capacity and what it gains in that stretch.
    #[test]
    fn a_bucket_never_grants_more_than_it_has(
        capacity in 0_u64..1_000,
        per_minute in 0_u64..100_000,
        asks in proptest::collection::vec((0_u64..300, 0_u64..5 * SECOND), 1..60),
    ) {
        let store = CounterStore::default();
        let (mut now, mut granted) = (0, Vec::new());
        for (tokens, passed) in asks {
            now += passed;
            let taken = store.take("b", &ask(tokens, capacity, per_minute), 9, now).unwrap();
            prop_assert!(taken.remaining <= capacity);
            prop_assert_eq!(taken.granted, taken.retry_after == Duration::ZERO);
            if taken.granted {
                granted.push((now, u128::from(tokens)));
            }
            for (index, (from, _)) in granted.iter().enumerate() {
                let sum: u128 = granted.iter().skip(index).map(|(_, tokens)| tokens).sum();
                let gained = u128::from(now - from) * u128::from(per_minute);
                prop_assert!(sum * PARTS <= u128::from(capacity) * PARTS + gained);
            }
        }
    }

    /// What is refused is granted after the time that was said, and no nanosecond earlier.
    #[test]
    fn retry_after_is_exact(
        capacity in 1_u64..u64::MAX, per_minute in 1_u64..u64::MAX, spent: u64, tokens: u64, now in 0..u64::MAX / 2,
    ) {
        let (spent, tokens) = (spent % capacity + 1, tokens % capacity + 1);
        let (_, bucket) = Bucket::take(None, &ask(spent, capacity, per_minute), now);
        let wish = ask(tokens, capacity, per_minute);
        let (taken, bucket) = Bucket::take(Some(bucket), &wish, now);
        if !taken.granted && nanos(taken.retry_after) < u64::MAX / 4 {
            let then = now + nanos(taken.retry_after);
            prop_assert!(Bucket::take(Some(bucket), &wish, then).0.granted);
            prop_assert!(!Bucket::take(Some(bucket), &wish, then - 1).0.granted);
        }
    }

    /// No numbers make it panic, no clock that goes back makes it gain, and a later asker finds no less.
    #[test]
    fn any_numbers_are_taken(tokens: u64, capacity: u64, per_minute: u64, level: u64, at: u64, now: u64, later: u64) {
        let before = Bucket { level: u128::from(level) * PARTS, at };
        let wish = ask(tokens, capacity, per_minute);
        let (taken, after) = Bucket::take(Some(before), &wish, now);
        prop_assert!(after.at >= at && taken.remaining <= capacity);
        if now <= at {
            prop_assert!(after.level <= before.level);
        }
        let nothing = ask(0, capacity, per_minute);
        let (soon, _) = Bucket::take(Some(before), &nothing, now.min(later));
        let (late, _) = Bucket::take(Some(before), &nothing, now.max(later));
        prop_assert!(late.remaining >= soon.remaining);
    }

    #[test]
    fn windows_only_grow_and_never_outlive_their_end(adds in proptest::collection::vec((any::<u64>(), 0..3 * SECOND), 1..50)) {
        let length = Duration::from_secs(5);
        let (mut now, mut window) = (0, None);
        for (by, passed) in adds {
            now += passed;
            let after = Window::add(window, by, length, now);
            match window.filter(|before: &Window| before.ends > now) {
                Some(before) => prop_assert!(after.value >= before.value && after.ends == before.ends),
                None => prop_assert_eq!(after, Window { value: by, ends: now + nanos(length) }),
            }
            window = Some(after);
        }
    }
}
