//! The thread that makes instances ahead of their calls and drops them afterwards, for all plugins of an engine.
//!
//! It looks after the stocks once a millisecond while they are used, less often while they are full and nobody takes
//! from them, and sleeps when there is none. So a request almost never wakes it, which would cost more than the
//! instance does.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Ready;

/// Between two looks while stocks are used.
const PERIOD: Duration = Duration::from_millis(1);
/// Between two looks while nothing is asked for.
const LONGEST_PERIOD: Duration = Duration::from_millis(64);
/// For so many periods after the pool was exhausted, nothing is made ahead.
const PERIODS_OF_WANT: u32 = 100;

/// The maker of one engine.
pub(crate) struct Maker {
    share: u32,
    tended: Mutex<Tended>,
    changed: Condvar,
    /// Whether the thread looks less often than every period.
    dozes: AtomicBool,
    /// Periods for which nothing is made.
    want: AtomicU32,
}

#[derive(Default)]
struct Tended {
    plugins: Vec<Weak<Ready>>,
    woken: bool,
    /// Whether there is a thread.
    runs: bool,
}

impl Maker {
    /// A maker whose stocks hold at most `share` places of the pool. It has no thread while there is nothing to do.
    pub(crate) fn new(share: u32) -> Arc<Self> {
        Arc::new(Self {
            share,
            tended: Mutex::default(),
            changed: Condvar::new(),
            dozes: AtomicBool::new(false),
            want: AtomicU32::new(0),
        })
    }

    /// The most places of the pool that all stocks together may hold.
    pub(super) fn share(&self) -> u32 {
        self.share
    }

    /// Looks after a plugin's stocks from now on, until they are not used any more.
    pub(super) fn enlist(self: &Arc<Self>, ready: &Arc<Ready>) {
        let mut tended = self.tended.lock();
        let new = Arc::downgrade(ready);
        if !tended.plugins.iter().any(|known| known.ptr_eq(&new)) {
            tended.plugins.push(new);
        }
        tended.woken = true;
        if !tended.runs {
            tended.runs = self.spawn();
        }
        drop(tended);
        self.changed.notify_one();
    }

    /// The thread lives while there are stocks: an engine whose plugins are not called has none.
    fn spawn(self: &Arc<Self>) -> bool {
        let maker = Arc::clone(self);
        let thread = std::thread::Builder::new().name("forebay-ready".to_owned());
        match thread.spawn(move || maker.run()) {
            Ok(_) => true,
            Err(error) => {
                // Everything is made on the spot then.
                tracing::warn!(%error, "no thread for instances made ahead");
                false
            }
        }
    }

    /// A stock was found empty: if the thread looks less often than it could, it looks now.
    pub(super) fn wake(&self) {
        if self.dozes.load(Ordering::Relaxed) && self.dozes.swap(false, Ordering::Relaxed) {
            self.tended.lock().woken = true;
            self.changed.notify_one();
        }
    }

    /// The pool is exhausted: drops everything that waits, and has nothing made for a while. Returns whether there was
    /// anything to drop.
    pub(super) fn give_up(&self) -> bool {
        self.want.store(PERIODS_OF_WANT, Ordering::Relaxed);
        self.plugins().iter().fold(false, |any, ready| ready.empty() || any)
    }

    fn plugins(&self) -> Vec<Arc<Ready>> {
        self.tended.lock().plugins.iter().filter_map(Weak::upgrade).collect()
    }

    fn run(&self) {
        let mut period = PERIOD;
        let mut looked = Instant::now();
        while self.wait(period) {
            let now = Instant::now();
            let passed = now.saturating_duration_since(looked);
            looked = now;
            let asked = self.look(passed);
            period = if asked { PERIOD } else { period.saturating_mul(2).min(LONGEST_PERIOD) };
        }
    }

    /// Waits until the next look. False when there is nothing to look after.
    fn wait(&self, period: Duration) -> bool {
        let mut tended = self.tended.lock();
        if tended.plugins.is_empty() {
            tended.runs = false;
            return false;
        }
        if !std::mem::take(&mut tended.woken) {
            self.dozes.store(period > PERIOD, Ordering::Relaxed);
            self.changed.wait_for(&mut tended, period);
            self.dozes.store(false, Ordering::Relaxed);
            tended.woken = false;
        }
        true
    }

    /// Looks after every plugin; returns whether anything was asked of any.
    fn look(&self, passed: Duration) -> bool {
        let want = self.want.load(Ordering::Relaxed);
        if want > 0 {
            self.want.store(want - 1, Ordering::Relaxed);
        }
        let plugins = self.plugins();
        let held: u32 = plugins.iter().map(|ready| ready.held()).sum();
        let mut room = if want > 0 { 0 } else { self.share.saturating_sub(held) };
        let mut asked = false;
        for ready in &plugins {
            let before = ready.held();
            asked |= ready.tend(room, passed).unwrap_or_default();
            room = room.saturating_sub(ready.held().saturating_sub(before));
        }
        let mut tended = self.tended.lock();
        tended.plugins.retain(|ready| ready.upgrade().is_some_and(|ready| ready.is_tended()));
        // The next look begins with another, so that the share is not always used up by the same.
        if !tended.plugins.is_empty() {
            tended.plugins.rotate_left(1);
        }
        asked
    }
}
