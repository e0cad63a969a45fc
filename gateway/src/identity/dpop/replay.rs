//! The proofs that came, for as long as each could come again.
//!
//! Bounded, over all callers and for each: whoever has a token could fill it, with as many keys as it likes, so the share
//! is its subject's. A full memory takes no further proof, since it could not tell whether that came before.
//!
//! A proof that is forgotten was too old. It would be fresh again if the clock went back, or if the window became longer:
//! so once a proof was forgotten, none is taken of its issuer that was made as early. With a steady clock and window that
//! refuses nothing that is fresh.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;
use ring::digest;

/// Proofs forgotten for each one that is remembered, at most: more than come, so that all that are due go.
const FORGET_AT_ONCE: usize = 64;

/// Why a proof is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Unremembered {
    /// It came before.
    Again,
    /// It may have come before: others that were made as early are forgotten.
    Early,
    /// There is no room.
    Full,
}

/// A proof that came, with everything about it right.
#[derive(Clone, Copy, Debug)]
pub(in crate::identity) struct Came<'a> {
    /// Whose tokens it goes with.
    pub(in crate::identity) issuer: &'a str,
    /// The token's issuer and subject, as SHA-256.
    pub(in crate::identity) caller: &'a [u8; 32],
    /// Thumbprint of its key.
    pub(in crate::identity) key: &'a [u8; 32],
    /// Its own name.
    pub(in crate::identity) jti: &'a str,
    /// When it was made, by its own clock.
    pub(in crate::identity) issued_s: u64,
    /// How old it may be.
    pub(in crate::identity) window_s: u64,
}

/// The memory.
pub(in crate::identity) struct Replays {
    max: usize,
    share: usize,
    seen: Mutex<Seen>,
}

/// Half a SHA-256.
type Half = [u8; 16];

#[derive(Default)]
struct Seen {
    marks: HashSet<Half>,
    by_caller: HashMap<Half, usize>,
    /// Marks by the second from which on their proofs are too old.
    due: BTreeMap<u64, Vec<Kept>>,
    /// When the latest of the forgotten proofs was made, by issuer: as many as were ever configured.
    forgotten: HashMap<Half, u64>,
}

struct Kept {
    mark: Half,
    caller: Half,
    issuer: Half,
    issued_s: u64,
}

impl Replays {
    /// A memory of `max` proofs, `share` of them of one caller.
    pub(in crate::identity) fn new(max: usize, share: usize) -> Self {
        Self { max, share, seen: Mutex::default() }
    }

    /// Remembers a proof until it is too old.
    pub(in crate::identity) fn remember(&self, came: &Came<'_>, now_s: u64) -> Result<(), Unremembered> {
        let mark = half(&[came.key, came.jti.as_bytes()]);
        let (caller, issuer) = (half(&[came.caller]), half(&[came.issuer.as_bytes()]));
        let mut seen = self.seen.lock();
        seen.forget(now_s);
        if seen.marks.contains(&mark) {
            return Err(Unremembered::Again);
        }
        if seen.forgotten.get(&issuer).is_some_and(|latest_s| came.issued_s <= *latest_s) {
            return Err(Unremembered::Early);
        }
        let of_caller = seen.by_caller.get(&caller).copied().unwrap_or(0);
        if seen.marks.len() >= self.max || of_caller >= self.share {
            return Err(Unremembered::Full);
        }
        seen.marks.insert(mark);
        seen.by_caller.insert(caller, of_caller + 1);
        let too_old_s = came.issued_s.saturating_add(came.window_s).saturating_add(1);
        seen.due.entry(too_old_s).or_default().push(Kept { mark, caller, issuer, issued_s: came.issued_s });
        Ok(())
    }
}

impl Seen {
    fn forget(&mut self, now_s: u64) {
        for _ in 0..FORGET_AT_ONCE {
            let Some(mut due) = self.due.first_entry().filter(|due| *due.key() <= now_s) else { return };
            let Some(kept) = due.get_mut().pop() else {
                due.remove();
                continue;
            };
            self.marks.remove(&kept.mark);
            let latest_s = self.forgotten.entry(kept.issuer).or_default();
            *latest_s = kept.issued_s.max(*latest_s);
            if let Some(count) = self.by_caller.get_mut(&kept.caller) {
                *count -= 1;
                if *count == 0 {
                    self.by_caller.remove(&kept.caller);
                }
            }
        }
    }
}

fn half(parts: &[&[u8]]) -> Half {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let digest = context.finish();
    let mut half = Half::default();
    half.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    half
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANN: [u8; 32] = [1; 32];
    const BOB: [u8; 32] = [2; 32];
    const WINDOW_S: u64 = 60;

    /// A proof of `key`, whose caller is the same.
    fn came<'a>(key: &'a [u8; 32], jti: &'a str, issued_s: u64) -> Came<'a> {
        Came { issuer: "me", caller: key, key, jti, issued_s, window_s: WINDOW_S }
    }

    #[test]
    fn a_proof_counts_once_while_it_could_come_again() {
        let replays = Replays::new(100, 100);
        assert_eq!(replays.remember(&came(&ANN, "a", 0), 0), Ok(()));
        assert_eq!(replays.remember(&came(&ANN, "a", 0), 60), Err(Unremembered::Again));
        assert_eq!(replays.remember(&came(&BOB, "a", 0), 60), Ok(()));
        assert_eq!(replays.remember(&came(&ANN, "b", 0), 60), Ok(()));
        assert_eq!(replays.remember(&came(&ANN, "a", 61), 61), Ok(()));
    }

    #[test]
    fn one_caller_has_a_share_whatever_its_keys_and_all_have_a_bound() {
        let replays = Replays::new(8, 2);
        let of_ann = |key| Came { caller: &ANN, ..came(key, "a", 0) };
        assert_eq!(replays.remember(&of_ann(&ANN), 0), Ok(()));
        assert_eq!(replays.remember(&of_ann(&BOB), 0), Ok(()));
        assert_eq!(replays.remember(&of_ann(&[3; 32]), 0), Err(Unremembered::Full));
        assert_eq!(replays.remember(&of_ann(&ANN), 0), Err(Unremembered::Again));
        for key in 4..7 {
            for jti in ["a", "b"] {
                assert_eq!(replays.remember(&came(&[key; 32], jti, 0), 0), Ok(()));
            }
        }
        assert_eq!(replays.remember(&came(&[7; 32], "a", 0), 0), Err(Unremembered::Full));
        assert_eq!(replays.remember(&came(&[7; 32], "a", 61), 61), Ok(()));
    }

    #[test]
    fn neither_a_clock_that_goes_back_nor_a_longer_window_makes_a_forgotten_proof_good() {
        for (window_s, now_s) in [(WINDOW_S, 50), (3_600, 62)] {
            let replays = Replays::new(100, 100);
            assert_eq!(replays.remember(&came(&ANN, "a", 0), 0), Ok(()));
            assert_eq!(replays.remember(&came(&ANN, "b", 61), 61), Ok(()));
            let again = Came { window_s, ..came(&ANN, "a", 0) };
            assert_eq!(replays.remember(&again, now_s), Err(Unremembered::Early));
            assert_eq!(replays.remember(&Came { issued_s: 1, jti: "c", ..again }, now_s), Ok(()));
            assert_eq!(replays.remember(&Came { issuer: "you", jti: "d", ..again }, now_s), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn nothing_fresh_is_refused_and_nothing_stays(
            proofs in proptest::collection::vec((0_u8..3, 0_u8..20, 0_u64..5, 0_u64..3), 0..200),
        ) {
            let replays = Replays::new(1_000, 1_000);
            let (mut now_s, mut alive) = (100, HashMap::new());
            for (key, jti, passes_s, age_s) in proofs {
                now_s += passes_s;
                let (key, jti, issued_s) = ([key; 32], jti.to_string(), now_s - age_s);
                let known = alive.get(&(key, jti.clone())).is_some_and(|old_s| *old_s > now_s);
                let outcome = replays.remember(&Came { window_s: 3, ..came(&key, &jti, issued_s) }, now_s);
                prop_assert_eq!(outcome, if known { Err(Unremembered::Again) } else { Ok(()) });
                if !known {
                    alive.insert((key, jti), issued_s + 4);
                }
            }
            for _ in 0..20 {
                replays.seen.lock().forget(now_s + 10);
            }
            let seen = replays.seen.lock();
            prop_assert!(seen.marks.is_empty() && seen.by_caller.is_empty() && seen.due.is_empty());
            prop_assert!(seen.forgotten.len() <= 1);
        }

        #[test]
        fn nothing_counts_twice_whatever_clock_and_window_do(
            proofs in proptest::collection::vec((0_u8..6, 80_u64..120, -30_i64..30, 1_u64..40), 0..200),
        ) {
            let replays = Replays::new(1_000, 1_000);
            let (mut now_s, mut taken) = (100_u64, HashSet::new());
            for (jti, issued_s, passes_s, window_s) in proofs {
                now_s = now_s.saturating_add_signed(passes_s).clamp(60, 200);
                if issued_s > now_s + 5 || issued_s + window_s < now_s {
                    continue;
                }
                let name = jti.to_string();
                if replays.remember(&Came { window_s, ..came(&ANN, &name, issued_s) }, now_s).is_ok() {
                    prop_assert!(taken.insert((jti, issued_s)));
                }
            }
        }
    }
}
