//! Instances made ahead of their calls, so that a request pays for the call alone.
//!
//! A fresh instance costs three times what a call in it costs, and nothing about it depends on the request. So each hook
//! in use has a small stock of instances that nothing ran in yet; a thread that all plugins share (`maker`) fills it and
//! takes back those that were used, which it drops. The stock follows demand: a plugin that is not called holds nothing.
//! Where the stock is empty an instance is made on the spot, as it would be without one, so nobody ever waits for the maker.
//!
//! An instance that waits holds its place in the pool like one that works. It is given up before a request is refused
//! for want of a place, and a plugin's waiting instances and calls together stay within its share.

mod hook;
mod level;
mod maker;
mod recipe;

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
use level::Level;
pub(crate) use maker::Maker;
pub(crate) use recipe::Recipe;

/// A used instance with more memory than this is dropped on the spot instead of waiting for the maker.
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
    maker: Arc<Maker>,
    /// The most instances that one stock may hold; 0: there are no stocks.
    most: u32,
    stocks: [OnceLock<Stock>; Phase::ALL.len()],
    /// Whether the maker looks after the stocks.
    tended: AtomicBool,
}

/// The instances for one hook.
struct Stock {
    phase: Phase,
    fresh: ArrayQueue<Fresh>,
    /// Stores whose call is over.
    used: ArrayQueue<Store<CallState>>,
    /// Instances that were asked for since the maker last looked.
    asked: AtomicU32,
    /// The maker's own.
    level: Mutex<Level>,
}

impl Ready {
    /// Stocks of at most `most` instances each. They are empty until the plugin is called.
    pub(crate) fn new(recipe: Recipe, gate: Arc<Gate>, maker: Arc<Maker>, most: u32) -> Self {
        // A pool that is too small for a share has no stocks.
        let most = if maker.share() == 0 { 0 } else { most };
        let stocks = [const { OnceLock::new() }; Phase::ALL.len()];
        Self { recipe, gate, maker, most, stocks, tended: AtomicBool::new(false) }
    }

    /// A fresh instance with the hook of `phase`: out of the stock, or made on the spot.
    ///
    /// # Errors
    /// `PoolExhausted` when every place in the pool has a call at work.
    pub(crate) async fn take(self: &Arc<Self>, phase: Phase) -> Result<Fresh, Failure> {
        if let Some(stock) = self.stock(phase) {
            stock.asked.fetch_add(1, Ordering::Relaxed);
            if let Some(fresh) = stock.fresh.pop() {
                return Ok(fresh);
            }
            self.have_tended();
        }
        match self.recipe.make(phase).await {
            Err(Failure::PoolExhausted) if self.maker.give_up() => self.recipe.make(phase).await,
            made => made,
        }
    }

    /// Takes back the store of a call that ended well.
    pub(crate) fn hand_back(&self, phase: Phase, store: Store<CallState>) {
        if store.data().memory_bytes() > MOST_BYTES_TO_HAND_BACK || !self.tended.load(Ordering::Relaxed) {
            return;
        }
        if let Some(stock) = self.stock(phase) {
            // What does not fit is dropped here and now.
            drop(stock.used.push(store));
        }
    }

    fn stock(&self, phase: Phase) -> Option<&Stock> {
        if self.most == 0 {
            return None;
        }
        Some(self.stocks.get(phase as usize)?.get_or_init(|| Stock::new(phase, self.most)))
    }

    /// Has the maker look after the stocks, if it does not yet.
    fn have_tended(self: &Arc<Self>) {
        if !self.tended.load(Ordering::Relaxed) && !self.tended.swap(true, Ordering::Relaxed) {
            self.maker.enlist(self);
        } else {
            self.maker.wake();
        }
    }

    fn is_tended(&self) -> bool {
        self.tended.load(Ordering::Relaxed)
    }

    /// How many instances wait for their call.
    pub(crate) fn waiting(&self) -> u32 {
        self.open().map(|stock| length(stock.fresh.len())).sum()
    }

    /// How many places in the pool the stocks hold.
    fn held(&self) -> u32 {
        self.open().map(Stock::held).sum()
    }

    /// Brings every stock to its level, making at most `room` instances. Returns whether anything was asked for since
    /// the last time; None when the stocks are given up, since nothing was for long.
    fn tend(&self, room: u32, passed: Duration) -> Option<bool> {
        let mut room = room;
        let (mut asked, mut wanted) = (false, false);
        for stock in self.open() {
            let demand = stock.asked.swap(0, Ordering::Relaxed);
            asked |= demand > 0;
            let target = {
                let mut level = stock.level.lock();
                level.follow(demand, passed);
                level.target().min(self.most)
            };
            wanted |= target > 0;
            room = room.saturating_sub(self.fill(stock, target, room));
        }
        if !wanted {
            self.empty();
            self.tended.store(false, Ordering::Relaxed);
            return None;
        }
        Some(asked)
    }

    /// Drops what was used and fills a stock; returns how many instances it made.
    fn fill(&self, stock: &Stock, target: u32, room: u32) -> u32 {
        let mut made = 0;
        loop {
            // In turn, so that an instance is made in the place that was just left, which is still warm.
            let left = stock.used.pop().is_some();
            let short = made < room
                && length(stock.fresh.len()) < target
                && self.gate.in_flight().saturating_add(self.held()) < self.gate.most();
            match short.then(|| self.recipe.make_now(stock.phase)).flatten() {
                Some(fresh) => {
                    made += 1;
                    drop(stock.fresh.push(fresh));
                }
                None if left => {}
                None => return made,
            }
        }
    }

    /// Drops everything that waits. Returns whether there was anything.
    fn empty(&self) -> bool {
        let mut any = false;
        for stock in self.open() {
            while stock.used.pop().is_some() || stock.fresh.pop().is_some() {
                any = true;
            }
        }
        any
    }

    fn open(&self) -> impl Iterator<Item = &Stock> {
        self.stocks.iter().filter_map(OnceLock::get)
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

    fn held(&self) -> u32 {
        length(self.fresh.len()).saturating_add(length(self.used.len()))
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
