//! Instances made ahead of their calls, so that a request pays for the call alone.
//!
//! A fresh instance costs three times what a call in it costs, and nothing about it depends on the request. So each hook
//! in use has a small stock of instances that nothing ran in yet. What a request took is replaced, and what it used is
//! dropped, by a task that its thread runs as soon as the request's own task lets go of it (`refill`): the answer is on
//! its way by then, and the work is no more than it would have been before it. Where a stock is empty an instance is made
//! on the spot, as it would be without one, so nobody ever waits for a stock.
//!
//! An instance that waits holds its place in the pool like one that works. It is given up before a request is refused
//! for want of a place, a plugin's waiting instances and calls together stay within its share, and a plugin that is
//! not called any more loses them (`keeper`).

mod hook;
mod keeper;
mod level;
mod recipe;
mod refill;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;
use wasmtime::Store;

use crate::engine::Shared;
use crate::error::Failure;
use crate::gate::Gate;
use crate::phase::Phase;
use crate::state::CallState;
pub(crate) use hook::{Hook, Params};
pub(crate) use keeper::Keeper;
use level::Level;
pub(crate) use recipe::Recipe;

/// A used instance with more memory than this is dropped on the spot instead of after the request.
const MOST_BYTES_TO_HAND_BACK: usize = 2 * 1024 * 1024;
/// So long nothing is made ahead of a plugin whose instance could not be had.
const REST: Duration = Duration::from_millis(250);

/// An instance that nothing ran in yet, and its hook.
pub(crate) struct Fresh {
    pub(crate) store: Store<CallState>,
    pub(crate) hook: Hook,
}

/// The stocks of one plugin, one for each of its hooks.
pub(crate) struct Ready {
    pub(crate) recipe: Recipe,
    gate: Arc<Gate>,
    keeper: Arc<Keeper>,
    /// What the clock runs with. An instance is only made while it does: nothing else ends a start function.
    shared: Weak<Shared>,
    /// Until when nothing is made ahead.
    rests_until: Mutex<Option<Instant>>,
    /// The most instances that one stock may hold; 0: there are no stocks.
    most: u32,
    stocks: [OnceLock<Stock>; Phase::ALL.len()],
    /// Whether the keeper looks after the stocks.
    kept: AtomicBool,
}

/// The instances for one hook.
struct Stock {
    phase: Phase,
    fresh: ArrayQueue<Fresh>,
    /// Stores whose call is over.
    used: ArrayQueue<Store<CallState>>,
    /// Instances that were asked for since the stock was last filled.
    asked: AtomicU32,
    level: Mutex<Level>,
}

impl Ready {
    /// Stocks of at most `most` instances each. They are empty until the plugin is called.
    pub(crate) fn new(recipe: Recipe, gate: Arc<Gate>, shared: &Arc<Shared>, most: u32) -> Self {
        let keeper = Arc::clone(&shared.keeper);
        // A pool that is too small for a share has no stocks.
        let most = most.min(keeper.share());
        let stocks = [const { OnceLock::new() }; Phase::ALL.len()];
        Self {
            recipe,
            gate,
            keeper,
            shared: Arc::downgrade(shared),
            rests_until: Mutex::new(None),
            most,
            stocks,
            kept: AtomicBool::new(false),
        }
    }

    /// A fresh instance with the hook of `phase`: out of the stock, or made on the spot.
    ///
    /// # Errors
    /// `PoolExhausted` when every place in the pool has a call at work.
    pub(crate) async fn take(self: &Arc<Self>, phase: Phase) -> Result<Fresh, Failure> {
        if let Some(stock) = self.stock(phase) {
            stock.asked.fetch_add(1, Ordering::Relaxed);
            refill::after_this_task(self);
            if let Some(fresh) = stock.fresh.pop() {
                self.keeper.let_go(1);
                return Ok(fresh);
            }
        }
        let mut search = self.keeper.search();
        loop {
            match self.recipe.make(phase).await {
                Err(Failure::PoolExhausted) if search.again().await => {}
                made => {
                    return made.map(|mut fresh| {
                        // Nobody else pays for it.
                        fresh.store.data_mut().carry();
                        fresh
                    });
                }
            }
        }
    }

    /// Takes back the store of a call that ended well.
    pub(crate) fn hand_back(self: &Arc<Self>, phase: Phase, store: Store<CallState>) {
        if store.data().memory_bytes() > MOST_BYTES_TO_HAND_BACK {
            return;
        }
        if let Some(stock) = self.stock(phase) {
            // What does not fit is dropped here and now, and so is everything where nobody would come for it.
            self.keeper.hold_used();
            if let Err(store) = stock.used.push(store) {
                drop(store);
                self.keeper.let_go_used();
            }
            if !refill::after_this_task(self) {
                self.drop_used(stock);
            }
            self.look_after();
        }
    }

    /// How many instances wait for their call.
    pub(crate) fn waiting(&self) -> u32 {
        self.open().map(Stock::waiting).sum()
    }

    /// Drops what was used and fills the stocks, one instance each time that it is called. False: there is nothing to do.
    fn fill_one(self: &Arc<Self>) -> bool {
        let Some(_clock) = self.shared.upgrade() else { return false };
        let began = self.recipe.services.meter.as_ref().map(|_| Instant::now());
        let mut did = false;
        for stock in self.open() {
            let asked = stock.asked.swap(0, Ordering::Relaxed);
            let target = stock.level.lock().follow(asked, Duration::ZERO).min(self.most);
            let places = self.keeper.places();
            // In turn, so that an instance is made in the place that was just left, which is still warm.
            did |= self.drop_used(stock);
            let within_share = self.gate.in_flight().saturating_add(self.held()) < self.gate.most();
            if stock.waiting() < target
                && within_share
                && !self.rests()
                && let Some(place) = places.take_one()
            {
                match self.recipe.make_now(stock.phase).map(|fresh| stock.fresh.push(fresh)) {
                    Some(Ok(())) => {
                        place.keep();
                        did = true;
                    }
                    // By now others filled it.
                    Some(Err(fresh)) => drop(fresh),
                    None => *self.rests_until.lock() = Some(Instant::now() + REST),
                }
                drop(places);
                self.look_after();
            }
        }
        if let (true, Some(meter), Some(began)) = (did, &self.recipe.services.meter, began) {
            meter.prepared(began.elapsed());
        }
        did
    }

    /// Has the keeper look after the stocks. Called whenever something was put in them: had it let go of them meanwhile, nobody
    /// would find it there.
    fn look_after(self: &Arc<Self>) {
        if !self.kept.load(Ordering::SeqCst) && !self.kept.swap(true, Ordering::SeqCst) {
            self.keeper.enlist(self);
        }
    }

    /// Whether nothing is to be made ahead for now.
    fn rests(&self) -> bool {
        self.rests_until.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Time passed: lowers the stocks. False when nothing is left of them, since nobody asked for long.
    fn lower(&self, passed: Duration) -> bool {
        let mut wanted = false;
        for stock in self.open() {
            let target = stock.level.lock().follow(0, passed).min(self.most);
            wanted |= target > 0;
            // Left behind by calls that ended while the stock was being filled.
            while self.drop_used(stock) {}
            while stock.waiting() > target && self.drop_fresh(stock) {}
        }
        if !wanted {
            self.empty();
        }
        wanted
    }

    /// Drops some of what waits, what was used first. How many.
    fn give(&self, most: u32) -> u32 {
        let mut given = 0;
        for stock in self.open() {
            while given < most && (self.drop_used(stock) || self.drop_fresh(stock)) {
                given += 1;
            }
        }
        given
    }

    /// Drops everything that waits.
    fn empty(&self) {
        for stock in self.open() {
            while self.drop_used(stock) || self.drop_fresh(stock) {}
        }
    }

    fn drop_used(&self, stock: &Stock) -> bool {
        let Some(store) = stock.used.pop() else { return false };
        // Its place is one that waits until it is free.
        drop(store);
        self.keeper.let_go_used();
        true
    }

    fn drop_fresh(&self, stock: &Stock) -> bool {
        let Some(fresh) = stock.fresh.pop() else { return false };
        drop(fresh);
        self.keeper.let_go(1);
        true
    }

    /// How many places in the pool the stocks hold.
    fn held(&self) -> u32 {
        self.open().map(|stock| stock.waiting().saturating_add(length(stock.used.len()))).sum()
    }

    fn stock(&self, phase: Phase) -> Option<&Stock> {
        if self.most == 0 {
            return None;
        }
        Some(self.stocks.get(phase as usize)?.get_or_init(|| Stock::new(phase, self.most)))
    }

    fn open(&self) -> impl Iterator<Item = &Stock> {
        self.stocks.iter().filter_map(OnceLock::get)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // What the stocks held is counted by the keeper, which other plugins go on with.
        self.empty();
    }
}

impl Stock {
    fn new(phase: Phase, most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(1).max(1);
        Self {
            phase,
            fresh: ArrayQueue::new(most),
            used: ArrayQueue::new(most),
            asked: AtomicU32::new(0),
            level: Mutex::default(),
        }
    }

    fn waiting(&self) -> u32 {
        length(self.fresh.len())
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
