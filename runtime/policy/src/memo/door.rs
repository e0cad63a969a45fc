//! Remembers which places of the trie were asked for in vain before, roughly and in a fixed room.
//!
//! What comes once (a path with a number in it, a fresh token) is never asked for twice in a short time, so it
//! neither has its run traced nor takes the room of what is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many places are remembered: 16 KiB.
const PLACES: usize = SETS * WAYS;
const SETS: usize = 1024;
/// How many places of one set are remembered. More than one, or two that meet would keep each other out for ever.
const WAYS: usize = 4;

/// Made when it is first needed, since most memos never fill.
#[derive(Default)]
pub(super) struct Door {
    marks: OnceLock<Box<[AtomicU32]>>,
    turn: AtomicU32,
}

impl Door {
    /// Whether `place`, a hash, came by lately. It has now.
    pub(super) fn seen(&self, place: u64) -> bool {
        let marks = self.marks.get_or_init(|| (0..PLACES).map(|_| AtomicU32::new(0)).collect());
        let set = usize::try_from(place % SETS as u64).unwrap_or_default();
        // Never 0, which stands for nothing.
        let mark = u32::try_from(place >> 32).unwrap_or_default() | 1;
        let Some(set) = marks.chunks_exact(WAYS).nth(set) else { return false };
        if set.iter().any(|known| known.load(Ordering::Relaxed) == mark) {
            return true;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize % WAYS;
        if let Some(oldest) = set.get(turn) {
            oldest.store(mark, Ordering::Relaxed);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_the_second_time_until_others_take_its_room() {
        let door = Door::default();
        let place = |number: u64| (2 * number + 1) << 32;
        assert_eq!([0, 0, 0].map(|number| door.seen(place(number))), [false, true, true]);
        assert!(!(1..WAYS as u64).any(|number| door.seen(place(number))));
        assert!((0..WAYS as u64).all(|number| door.seen(place(number))));
        assert!(!(10..10 + WAYS as u64).any(|number| door.seen(place(number))));
        assert!(!door.seen(place(0)));
        assert!(!Door::default().seen(0));
    }
}
