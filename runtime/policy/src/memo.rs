//! The verdict memo: verdicts of earlier runs, found by what a run would read.
//!
//! A component that imports nothing but pure interfaces decides alike whenever it reads alike, and what it reads
//! next follows from what it has read. So its runs form a trie of questions and answers, and a request whose
//! attributes lead to a leaf has its verdict without WebAssembly. Purity is not declared: it is the list of
//! imports. Values are compared byte for byte, never by a digest. Only finished, valid verdicts come here.
//!
//! A memo is bounded in bytes. Values that never come again (paths with a number in them, tokens) are what would
//! fill it, so once it is half full, a value must be seen twice at its place before a run is traced and kept; and
//! what was not asked for since the last round of the clock's hand goes first. Nothing here waits: a
//! request that meets a writer runs the guest.
//!
//! Must not know: wasmtime, gates, what a verdict means.

use std::sync::TryLockError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard};

use crate::facts::Find;
use crate::trace::{Reads, TraceLimits};

mod counter;
mod door;
mod stats;
mod trie;

use counter::Counter;
use door::Door;
pub use stats::MemoStats;
use trie::{Inserted, Trie, Walk};

/// What of a run may be kept: longer values and longer runs are not worth their room.
pub(crate) const TRACE_LIMITS: TraceLimits = TraceLimits { reads: 64, read_bytes: 4 * 1024, total_bytes: 64 * 1024 };

/// How often a reader looks again when it meets a writer, who takes a few microseconds at most.
const TRIES: usize = 32;

/// The memo of one hook of one plugin.
pub(crate) struct Memo<V> {
    trie: ShardedLock<Trie<V>>,
    door: Door,
    off: AtomicBool,
    hits: Counter,
    misses: AtomicU64,
    stores: AtomicU64,
    evictions: AtomicU64,
    bytes: AtomicU64,
    limit_bytes: u64,
}

/// What the memo says.
pub(crate) enum Recalled<V> {
    /// The verdict that a run would come to.
    Hit(V),
    /// Run the guest, and trace it if `trace`.
    Miss { trace: bool },
}

impl<V: Clone + PartialEq + Weigh> Memo<V> {
    /// A memo of at most `limit_bytes`. 0: none.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self {
            trie: ShardedLock::new(Trie::new()),
            door: Door::default(),
            off: AtomicBool::new(limit_bytes == 0),
            hits: Counter::default(),
            misses: AtomicU64::new(0),
            stores: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            limit_bytes,
        }
    }

    /// Looks for the verdict on what `facts` tell.
    pub(crate) fn recall(&self, facts: &impl Find) -> Recalled<V> {
        if self.off.load(Ordering::Relaxed) {
            return Recalled::Miss { trace: false };
        }
        let walk = self.read().map(|trie| trie.walk(facts, TRACE_LIMITS.read_bytes));
        if let Some(Walk::Leaf(verdict)) = walk {
            self.hits.add();
            return Recalled::Hit(verdict);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let trace = match walk {
            Some(Walk::Unknown { place }) => self.has_room() || self.door.seen(place),
            Some(Walk::Empty) => true,
            _ => false,
        };
        Recalled::Miss { trace }
    }

    /// Keeps the verdict of a run that read `reads`. True: the run contradicts an earlier one, so the component is
    /// not deterministic after all, and the memo is off from now on.
    pub(crate) fn keep(&self, reads: Reads, verdict: V) -> bool {
        if self.off.load(Ordering::Relaxed) {
            return false;
        }
        let Ok(mut trie) = self.trie.try_write() else { return false };
        let inserted = trie.insert(reads, verdict, self.limit_bytes, &self.evictions);
        self.bytes.store(trie.bytes(), Ordering::Relaxed);
        match inserted {
            Inserted::Stored => {
                self.stores.fetch_add(1, Ordering::Relaxed);
                false
            }
            Inserted::Known | Inserted::NoRoom => false,
            Inserted::Contradiction => {
                *trie = Trie::new();
                self.bytes.store(0, Ordering::Relaxed);
                !self.off.swap(true, Ordering::Relaxed)
            }
        }
    }

    /// Whether it keeps and finds verdicts.
    pub(crate) fn is_on(&self) -> bool {
        !self.off.load(Ordering::Relaxed)
    }

    /// What happened so far.
    pub(crate) fn stats(&self) -> MemoStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemoStats {
            hits: self.hits.get(),
            misses: read(&self.misses),
            stores: read(&self.stores),
            evictions: read(&self.evictions),
            bytes: read(&self.bytes),
            switched_off: u64::from(self.limit_bytes > 0 && !self.is_on()),
        }
    }

    /// The trie, unless somebody is writing. A writer that panicked may have left half of a change: then never.
    fn read(&self) -> Option<ShardedLockReadGuard<'_, Trie<V>>> {
        for _ in 0..TRIES {
            match self.trie.try_read() {
                Ok(trie) => return Some(trie),
                Err(TryLockError::Poisoned(_)) => return None,
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }

    fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < self.limit_bytes / 2
    }
}

/// What a kept verdict takes beside its own size.
pub(crate) trait Weigh {
    /// Bytes on the heap, roughly.
    fn weigh(&self) -> usize;
}

#[cfg(test)]
mod tests;
