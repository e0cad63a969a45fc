#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::facts::{Read, Value};
use crate::trace::Tracer;

impl Weigh for u64 {
    fn weigh(&self) -> usize {
        0
    }
}

/// Answers reads by name; whatever is not there is nothing.
#[derive(Clone, Debug, Default)]
struct World(HashMap<String, Vec<u8>>);

impl World {
    fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect())
    }
}

impl Find for World {
    fn find(&self, read: &Read<'_>) -> Option<Value<'_>> {
        Some(self.0.get(read.name()).map_or(Value::Nothing, |value| Value::Bytes(Cow::Borrowed(value))))
    }
}

fn header(name: &str) -> Read<'static> {
    Read::Header(Cow::Owned(name.to_owned()))
}

/// Reads `names` in order.
fn reads(world: &World, names: &[&str]) -> Reads {
    let trace = Tracer::new(TRACE_LIMITS);
    for name in names {
        let read = header(name);
        trace.note(&read, &world.find(&read).unwrap());
    }
    trace.finish().unwrap()
}

fn hit(memo: &Memo<u64>, world: &World) -> Option<u64> {
    match memo.recall(world) {
        Recalled::Hit(verdict) => Some(verdict),
        Recalled::Miss { .. } => None,
    }
}

#[test]
fn a_verdict_is_found_by_what_its_run_read_and_by_nothing_else() {
    let memo = Memo::new(1 << 20);
    let world = World::of(&[("a", "1"), ("b", "2"), ("c", "3")]);
    assert!(matches!(memo.recall(&world), Recalled::Miss { trace: true }));
    assert!(!memo.keep(reads(&world, &["a", "b"]), 7));
    assert_eq!(hit(&memo, &world), Some(7));
    assert_eq!(hit(&memo, &World::of(&[("a", "1"), ("b", "2"), ("c", "other")])), Some(7));
    for other in [&[("a", "1")][..], &[("a", "1"), ("b", "")], &[("a", "12"), ("b", "")], &[("b", "2")]] {
        assert_eq!(hit(&memo, &World::of(other)), None, "{other:?}");
    }
    let stats = memo.stats();
    assert_eq!((stats.hits, stats.misses, stats.stores, stats.evictions), (2, 5, 1, 0));
}

#[test]
fn a_run_that_reads_nothing_has_one_verdict() {
    let memo = Memo::new(1 << 20);
    memo.keep(Vec::new(), 1);
    assert_eq!(hit(&memo, &World::default()), Some(1));
}

#[test]
fn a_contradiction_switches_off_for_good() {
    let world = World::of(&[("a", "1"), ("b", "2")]);
    let contradictions: [(&[&str], u64); 5] =
        [(&["a", "c"], 1), (&["b"], 1), (&["a"], 1), (&["a", "b", "c"], 1), (&["a", "b"], 2)];
    for (names, verdict) in contradictions {
        let memo = Memo::new(1 << 20);
        assert!(!memo.keep(reads(&world, &["a", "b"]), 1));
        assert!(memo.keep(reads(&world, names), verdict), "{names:?}");
        assert_eq!(hit(&memo, &world), None);
        assert!(!memo.keep(reads(&world, &["a", "b"]), 1));
        assert_eq!(hit(&memo, &world), None);
        assert_eq!((memo.stats().switched_off, memo.stats().bytes), (1, 0));
    }
}

#[test]
fn nothing_is_kept_without_room() {
    let memo = Memo::new(0);
    let world = World::of(&[("a", "1")]);
    assert!(matches!(memo.recall(&world), Recalled::Miss { trace: false }));
    memo.keep(reads(&world, &["a"]), 1);
    assert_eq!(hit(&memo, &world), None);
    assert_eq!(memo.stats(), MemoStats::default());
}

#[test]
fn long_values_are_neither_kept_nor_looked_for() {
    let memo = Memo::new(1 << 20);
    memo.keep(reads(&World::of(&[("a", "1")]), &["a"]), 1);
    let long = World::of(&[("a", &"x".repeat(TRACE_LIMITS.read_bytes + 1))]);
    assert!(matches!(memo.recall(&long), Recalled::Miss { trace: false }));
}

#[test]
fn what_comes_once_does_not_push_out_what_comes_again() {
    let memo = Memo::new(64 * 1024);
    let run = |world: &World| match memo.recall(world) {
        Recalled::Hit(_) => true,
        Recalled::Miss { trace } => {
            if trace {
                memo.keep(reads(world, &["path", "x"]), 1);
            }
            false
        }
    };
    let useful: Vec<World> = (0..20).map(|i| World::of(&[("path", &format!("/useful/{i}")), ("x", "1")])).collect();
    let mut hits = 0;
    for round in 0..200 {
        for once in 0..100 {
            assert!(!run(&World::of(&[("path", &format!("/once/{round}/{once}"))])));
        }
        // And what comes twice in a row, as by somebody who knows of the door.
        for twice in 0..20 {
            let world = World::of(&[("path", &format!("/twice/{round}/{twice}"))]);
            run(&world);
            run(&world);
        }
        hits += useful.iter().filter(|world| run(world)).count();
    }
    let stats = memo.stats();
    assert!(hits >= 195 * useful.len(), "{hits} {stats:?}");
    assert!(stats.evictions > 1_000 && stats.bytes <= 64 * 1024, "{stats:?}");
}

#[test]
fn readers_and_writers_on_many_threads_agree() {
    let memo = Memo::new(32 * 1024);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let memo = &memo;
            scope.spawn(move || {
                for i in 0..20_000_u64 {
                    let (a, b) = ((i * 7 + thread) % 40, (i / 3) % 9);
                    let world = World::of(&[("a", &a.to_string()), ("b", &b.to_string())]);
                    match memo.recall(&world) {
                        Recalled::Hit(verdict) => assert_eq!(verdict, a * 100 + b),
                        Recalled::Miss { trace: true } => {
                            assert!(!memo.keep(reads(&world, &["a", "b"]), a * 100 + b));
                        }
                        Recalled::Miss { trace: false } => {}
                    }
                }
            });
        }
    });
    let stats = memo.stats();
    assert_eq!((stats.hits + stats.misses, stats.switched_off), (80_000, 0));
    assert!(stats.hits > 10_000, "{stats:?}");
}

/// A guest whose next question and verdict follow from the answers so far, in a way that nobody chose.
struct Guest {
    random: RandomState,
    names: u64,
    depth: u64,
}

impl Guest {
    fn run(&self, world: &World) -> (Reads, u64) {
        let trace = Tracer::new(TRACE_LIMITS);
        let mut state = self.random.hash_one(0);
        for _ in 0..state % self.depth {
            let read = header(&format!("n{}", state % self.names));
            let value = world.find(&read).unwrap();
            trace.note(&read, &value);
            state = self.random.hash_one((state, &value));
            if state.is_multiple_of(5) {
                break;
            }
        }
        (trace.finish().unwrap(), state)
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ab]", "[a-z]{0,40}"]
}

proptest! {
    #[test]
    fn what_is_recalled_is_what_a_run_would_decide(
        worlds in proptest::collection::vec(proptest::collection::vec((0_u64..6, value()), 0..6), 1..80),
        limit in prop_oneof![Just(1_u64 << 20), 1_000_u64..20_000],
        (names, depth) in (1_u64..6, 1_u64..9),
        order in proptest::collection::vec(any::<proptest::sample::Index>(), 200),
    ) {
        let guest = Guest { random: RandomState::new(), names, depth };
        let memo = Memo::new(limit);
        let worlds: Vec<World> = worlds
            .into_iter()
            .map(|pairs| World(pairs.into_iter().map(|(n, value)| (format!("n{n}"), value.into_bytes())).collect()))
            .collect();
        for index in order {
            let world = index.get(&worlds);
            let (reads, verdict) = guest.run(world);
            match memo.recall(world) {
                Recalled::Hit(recalled) => prop_assert_eq!(recalled, verdict),
                Recalled::Miss { trace: true } => prop_assert!(!memo.keep(reads, verdict)),
                Recalled::Miss { trace: false } => {}
            }
            memo.trie.read().unwrap().check();
            prop_assert!(memo.stats().bytes <= limit);
        }
    }
}
