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
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;
use wasmtime::Store;

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
    pub(crate) fn new(recipe: Recipe, gate: Arc<Gate>, keeper: Arc<Keeper>, most: u32) -> Self {
        // A pool that is too small for a share has no stocks.
        let most = most.min(keeper.share());
        let stocks = [const { OnceLock::new() }; Phase::ALL.len()];
        Self { recipe, gate, keeper, most, stocks, kept: AtomicBool::new(false) }
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
        match self.recipe.make(phase).await {
            Err(Failure::PoolExhausted) => {
                self.keeper.give_up();
                self.recipe.make(phase).await
            }
            made => made,
        }
    }

    /// Takes back the store of a call that ended well.
    pub(crate) fn hand_back(self: &Arc<Self>, phase: Phase, store: Store<CallState>) {
        if store.data().memory_bytes() > MOST_BYTES_TO_HAND_BACK {
            return;
        }
        if let Some(stock) = self.stock(phase) {
            // What does not fit is dropped here and now, and so is everything where nobody would come for it.
            drop(stock.used.push(store));
            if !refill::after_this_task(self) {
                drop(stock.used.pop());
            }
        }
    }

    /// How many instances wait for their call.
    pub(crate) fn waiting(&self) -> u32 {
        self.open().map(Stock::waiting).sum()
    }

    /// Drops what was used and fills the stocks, one instance each time that it is called. False: there is nothing to do.
    fn fill_one(self: &Arc<Self>) -> bool {
        let mut did = false;
        for stock in self.open() {
            let asked = stock.asked.swap(0, Ordering::Relaxed);
            let target = stock.level.lock().follow(asked, Duration::ZERO).min(self.most);
            if asked > 0 && !self.kept.load(Ordering::Relaxed) && !self.kept.swap(true, Ordering::Relaxed) {
                self.keeper.enlist(self);
            }
            let places = self.keeper.places();
            // In turn, so that an instance is made in the place that was just left, which is still warm.
            did |= stock.used.pop().is_some();
            let within_share = self.gate.in_flight().saturating_add(self.held()) < self.gate.most();
            if stock.waiting() < target && within_share && places.take_one() {
                match self.recipe.make_now(stock.phase).map(|fresh| stock.fresh.push(fresh)) {
                    Some(Ok(())) => did = true,
                    _ => self.keeper.let_go(1),
                }
            }
        }
        did
    }

    /// Time passed: lowers the stocks. False when nothing is left of them, since nobody asked for long.
    fn lower(&self, passed: Duration) -> bool {
        let mut wanted = false;
        for stock in self.open() {
            let target = stock.level.lock().follow(0, passed).min(self.most);
            wanted |= target > 0;
            // Left behind by a call that ended while the stock was being filled.
            drop(stock.used.pop());
            while stock.waiting() > target && stock.fresh.pop().is_some() {
                self.keeper.let_go(1);
            }
        }
        if !wanted {
            self.empty();
        }
        wanted
    }

    /// Drops everything that waits.
    fn empty(&self) {
        for stock in self.open() {
            while stock.used.pop().is_some() {}
            while stock.fresh.pop().is_some() {
                self.keeper.let_go(1);
            }
        }
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
