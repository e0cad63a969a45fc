//! What the stocks of all plugins share: their places in the pool, and a thread that lowers stocks nobody takes from.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};

use super::Ready;

/// Between two looks at the stocks.
const PERIOD: Duration = Duration::from_millis(250);
/// For so long after the pool was exhausted, nothing is made ahead.
const WANT: Duration = Duration::from_millis(100);
/// So many instances of each plugin are given up at once: whoever is short of a place needs one.
const GIVEN: u32 = 2;
/// How often whoever is short of a place looks for one that waits. Others look as well, so it may go to one of them.
const TRIES: u32 = 32;

/// The keeper of one engine.
pub(crate) struct Keeper {
    /// The most places of the pool that instances which wait may hold.
    share: u32,
    /// How many they hold, those in the making included.
    held: AtomicU32,
    /// How many hold a place after their call, until they are dropped.
    used: AtomicU32,
    /// Until when nothing is made. Read by whoever makes an instance, for as long as that takes.
    want_until: RwLock<Option<Instant>>,
    plugins: Mutex<Plugins>,
    changed: Condvar,
}

#[derive(Default)]
struct Plugins {
    known: Vec<Weak<Ready>>,
    /// Whether there is a thread.
    runs: bool,
}

/// The right to make an instance, if there is a place for one. While one is held, nothing is given up.
pub(super) struct Places<'k> {
    keeper: &'k Keeper,
    want_until: RwLockReadGuard<'k, Option<Instant>>,
}

/// A place for an instance in the making. Free again when dropped, however the making ended.
pub(super) struct Place<'k>(&'k Keeper);

impl Place<'_> {
    /// The instance waits: whoever takes it lets go of the place.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.let_go(1);
    }
}

impl<'k> Places<'k> {
    /// Takes a place.
    pub(super) fn take_one(&self) -> Option<Place<'k>> {
        if self.want_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let taken = |held: u32| (held < self.keeper.share).then_some(held + 1);
        self.keeper.held.fetch_update(Ordering::AcqRel, Ordering::Relaxed, taken).ok().map(|_| Place(self.keeper))
    }
}

/// The search of one call, or of a plugin that is loaded, for a place that something waits in.
pub(crate) struct Search<'k> {
    keeper: &'k Keeper,
    tries: u32,
    /// No place had anything that waits.
    full: bool,
}

impl Search<'_> {
    /// Makes room. Whether to try once more; false when every place in the pool has a call at work.
    pub(crate) async fn again(&mut self) -> bool {
        let Some(left) = self.tries.checked_sub(1) else { return false };
        self.tries = left;
        match self.keeper.make_room() {
            // A call may have ended since: the pool is full when it is so twice.
            None => return !std::mem::replace(&mut self.full, true),
            // Somebody else is at it.
            Some(0) => tokio::task::yield_now().await,
            Some(_) => {}
        }
        true
    }
}

impl Keeper {
    /// A keeper of stocks that hold at most `share` places of the pool. It has no thread while there is nothing to do.
    pub(crate) fn new(share: u32) -> Arc<Self> {
        Arc::new(Self {
            share,
            held: AtomicU32::new(0),
            used: AtomicU32::new(0),
            want_until: RwLock::new(None),
            plugins: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// The most places of the pool that instances which wait may hold.
    pub(super) fn share(&self) -> u32 {
        self.share
    }

    /// Asks for the right to make instances. Held while one is made.
    pub(super) fn places(&self) -> Places<'_> {
        Places { keeper: self, want_until: self.want_until.read() }
    }

    /// Instances went to their calls, or were dropped.
    pub(super) fn let_go(&self, instances: u32) {
        self.held.fetch_sub(instances, Ordering::AcqRel);
    }

    /// The store of a call that ended holds its place for a little longer.
    pub(super) fn hold_used(&self) {
        self.used.fetch_add(1, Ordering::AcqRel);
    }

    /// Such a store was dropped.
    pub(super) fn let_go_used(&self) {
        self.used.fetch_sub(1, Ordering::AcqRel);
    }

    /// The pool is exhausted and somebody is short of a place: drops some of what waits, and has nothing made for a while.
    /// Returns how many it dropped; None: there are none that wait, the pool is full of calls.
    fn make_room(&self) -> Option<u32> {
        if self.held.load(Ordering::Acquire) == 0 && self.used.load(Ordering::Acquire) == 0 {
            return None;
        }
        // What is in the making is finished first, and found in its stock.
        *self.want_until.write() = Some(Instant::now() + WANT);
        Some(self.known().iter().map(|ready| ready.give(GIVEN)).sum())
    }

    /// For whoever finds the pool exhausted.
    pub(crate) fn search(&self) -> Search<'_> {
        Search { keeper: self, tries: TRIES, full: false }
    }

    /// Looks after a plugin's stocks from now on, until they are not used any more.
    pub(super) fn enlist(self: &Arc<Self>, ready: &Arc<Ready>) {
        let mut plugins = self.plugins.lock();
        let new = Arc::downgrade(ready);
        if !plugins.known.iter().any(|known| known.ptr_eq(&new)) {
            plugins.known.push(new);
        }
        if !plugins.runs {
            plugins.runs = self.spawn();
        }
    }

    /// The thread lives while there are stocks: an engine whose plugins are not called has none.
    fn spawn(self: &Arc<Self>) -> bool {
        let keeper = Arc::clone(self);
        let thread = std::thread::Builder::new().name("forebay-keeper".to_owned());
        let spawned = thread.spawn(move || keeper.run());
        if let Err(error) = &spawned {
            tracing::warn!(%error, "instances that wait for calls are not dropped when none come");
        }
        spawned.is_ok()
    }

    fn known(&self) -> Vec<Arc<Ready>> {
        self.plugins.lock().known.iter().filter_map(Weak::upgrade).collect()
    }

    fn run(&self) {
        let mut looked = Instant::now();
        while self.wait() {
            let now = Instant::now();
            for ready in self.known() {
                if !ready.lower(now.saturating_duration_since(looked)) {
                    ready.kept.store(false, Ordering::SeqCst);
                }
            }
            looked = now;
        }
    }

    /// Waits until the next look. False when there is nothing to look after.
    fn wait(&self) -> bool {
        let mut plugins = self.plugins.lock();
        // One that was filled while it was let go of is found here, or finds out itself and comes back.
        let is_kept = |ready: &Weak<Ready>| {
            ready.upgrade().is_some_and(|ready| ready.kept.load(Ordering::SeqCst) || ready.held() > 0)
        };
        plugins.known.retain(is_kept);
        plugins.runs = !plugins.known.is_empty();
        if plugins.runs {
            self.changed.wait_for(&mut plugins, PERIOD);
        }
        plugins.runs
    }
}
