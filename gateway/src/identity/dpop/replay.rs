//! The proofs that came, for as long as each could come again.
//!
//! Bounded, over all keys and for each: whoever has a key and a token could fill it, so one key has a share. A full memory
//! takes no further proof, since it could not tell whether that came before.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use ring::digest;

/// One key's share of the room, as its part of the whole.
const SHARE: usize = 4;
/// Proofs forgotten for each one that is remembered, at most: more than come, so that all that are due go.
const FORGET_AT_ONCE: usize = 64;

/// Why a proof is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Unremembered {
    /// It came before.
    Again,
    /// There is no room.
    Full,
}

/// The memory.
pub(in crate::identity) struct Replays {
    max: usize,
    seen: Mutex<Seen>,
}

/// Which key a proof was signed with, by thumbprint.
type KeyPrint = [u8; 32];
/// Half a SHA-256 of key and `jti`.
type Mark = [u8; 16];

#[derive(Default)]
struct Seen {
    marks: HashMap<Mark, KeyPrint>,
    by_key: HashMap<KeyPrint, usize>,
    /// Marks by the second from which on their proofs are too old.
    due: BTreeMap<u64, Vec<Mark>>,
}

impl Replays {
    /// A memory of `max` proofs.
    pub(in crate::identity) fn new(max: usize) -> Self {
        Self { max, seen: Mutex::default() }
    }

    /// Remembers a proof of `key` until it is too old.
    pub(in crate::identity) fn remember(
        &self,
        key: &KeyPrint,
        jti: &str,
        too_old_s: u64,
        now_s: u64,
    ) -> Result<(), Unremembered> {
        let mark = mark(key, jti);
        let mut seen = self.seen.lock();
        seen.forget(now_s);
        if seen.marks.contains_key(&mark) {
            return Err(Unremembered::Again);
        }
        let of_key = seen.by_key.get(key).copied().unwrap_or(0);
        if seen.marks.len() >= self.max || of_key >= (self.max / SHARE).max(1) {
            return Err(Unremembered::Full);
        }
        seen.marks.insert(mark, *key);
        seen.by_key.insert(*key, of_key + 1);
        seen.due.entry(too_old_s).or_default().push(mark);
        Ok(())
    }
}

impl Seen {
    fn forget(&mut self, now_s: u64) {
        for _ in 0..FORGET_AT_ONCE {
            let Some(mut due) = self.due.first_entry().filter(|due| *due.key() <= now_s) else { return };
            let Some(mark) = due.get_mut().pop() else {
                due.remove();
                continue;
            };
            let Some(key) = self.marks.remove(&mark) else { continue };
            if let Some(count) = self.by_key.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.by_key.remove(&key);
                }
            }
        }
    }
}

fn mark(key: &KeyPrint, jti: &str) -> Mark {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(key);
    context.update(jti.as_bytes());
    let digest = context.finish();
    let mut mark = Mark::default();
    mark.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    mark
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANN: KeyPrint = [1; 32];
    const BOB: KeyPrint = [2; 32];

    #[test]
    fn a_proof_counts_once_while_it_could_come_again() {
        let replays = Replays::new(100);
        assert_eq!(replays.remember(&ANN, "a", 60, 0), Ok(()));
        assert_eq!(replays.remember(&ANN, "a", 60, 59), Err(Unremembered::Again));
        assert_eq!(replays.remember(&BOB, "a", 60, 59), Ok(()));
        assert_eq!(replays.remember(&ANN, "b", 60, 59), Ok(()));
        assert_eq!(replays.remember(&ANN, "a", 120, 60), Ok(()));
    }

    #[test]
    fn one_key_has_a_share_and_all_have_a_bound() {
        let replays = Replays::new(8);
        for jti in ["a", "b"] {
            assert_eq!(replays.remember(&ANN, jti, 60, 0), Ok(()));
        }
        assert_eq!(replays.remember(&ANN, "c", 60, 0), Err(Unremembered::Full));
        assert_eq!(replays.remember(&ANN, "a", 60, 0), Err(Unremembered::Again));
        for key in 2..5 {
            for jti in ["a", "b"] {
                assert_eq!(replays.remember(&[key; 32], jti, 60, 0), Ok(()));
            }
        }
        assert_eq!(replays.remember(&[5; 32], "a", 60, 0), Err(Unremembered::Full));
        assert_eq!(replays.remember(&[5; 32], "a", 120, 60), Ok(()));
    }

    proptest! {
        #[test]
        fn nothing_comes_twice_and_nothing_stays(
            proofs in proptest::collection::vec((0_u8..3, 0_u8..20, 0_u64..5, 0_u64..3), 0..200),
        ) {
            let replays = Replays::new(1_000);
            let (mut now_s, mut alive) = (0, HashMap::new());
            for (key, jti, passes_s, ahead_s) in proofs {
                now_s += passes_s;
                let too_old_s = now_s + ahead_s + 1;
                let known = alive.get(&(key, jti)).is_some_and(|old_s| *old_s > now_s);
                let outcome = replays.remember(&[key; 32], &jti.to_string(), too_old_s, now_s);
                prop_assert_eq!(outcome.is_err(), known);
                if outcome.is_ok() {
                    alive.insert((key, jti), too_old_s);
                }
            }
            replays.seen.lock().forget(now_s + 10);
            for _ in 0..20 {
                replays.seen.lock().forget(now_s + 10);
            }
            let seen = replays.seen.lock();
            prop_assert!(seen.marks.is_empty() && seen.by_key.is_empty() && seen.due.is_empty());
        }
    }
}
