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

/// The keeper of one engine.
pub(crate) struct Keeper {
    /// The most places of the pool that instances which wait may hold.
    share: u32,
    /// How many they hold.
    held: AtomicU32,
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

impl Places<'_> {
    /// Takes a place.
    pub(super) fn take_one(&self) -> bool {
        if self.want_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let taken = |held: u32| (held < self.keeper.share).then_some(held + 1);
        self.keeper.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

impl Keeper {
    /// A keeper of stocks that hold at most `share` places of the pool. It has no thread while there is nothing to do.
    pub(crate) fn new(share: u32) -> Arc<Self> {
        Arc::new(Self {
            share,
            held: AtomicU32::new(0),
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
        self.held.fetch_sub(instances, Ordering::Relaxed);
    }

    /// The pool is exhausted: drops everything that waits, and has nothing made for a while. When it returns, no place is
    /// held that is not a call's.
    pub(super) fn give_up(&self) {
        let plugins = self.known();
        // What is in the making is finished first, and found in its stock.
        let mut want_until = self.want_until.write();
        *want_until = Some(Instant::now() + WANT);
        plugins.iter().for_each(|ready| ready.empty());
        drop(want_until);
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
                    ready.kept.store(false, Ordering::Relaxed);
                }
            }
            looked = now;
        }
    }

    /// Waits until the next look. False when there is nothing to look after.
    fn wait(&self) -> bool {
        let mut plugins = self.plugins.lock();
        let is_kept = |ready: &Weak<Ready>| ready.upgrade().is_some_and(|ready| ready.kept.load(Ordering::Relaxed));
        plugins.known.retain(is_kept);
        plugins.runs = !plugins.known.is_empty();
        if plugins.runs {
            self.changed.wait_for(&mut plugins, PERIOD);
        }
        plugins.runs
    }
}
