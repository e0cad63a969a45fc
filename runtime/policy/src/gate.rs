//! The gate before a plugin's calls, so that one plugin takes neither all instances nor, when it only fails,
//! the node's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::breaker::{Breakers, End, Pass};
use crate::error::Failure;
use crate::phase::Phase;

/// Counts a plugin's calls in flight and remembers how its last ones ended.
pub(crate) struct Gate {
    most: u32,
    in_flight: AtomicU32,
    breakers: Mutex<Breakers>,
    /// No failure is counted: what a verdict from the memo reads instead of the breakers.
    calm: AtomicBool,
    /// A call ended with a verdict.
    served: AtomicBool,
}

impl Gate {
    /// A gate for `most` calls at once, which closes after that many failures in a row.
    pub(crate) fn new(most: u32, failures: u32) -> Self {
        let breakers = Mutex::new(Breakers::new(failures));
        Self {
            most,
            in_flight: AtomicU32::new(0),
            breakers,
            calm: AtomicBool::new(true),
            served: AtomicBool::new(false),
        }
    }

    /// Lets one call of this phase in.
    ///
    /// # Errors
    /// `PoolExhausted` when the plugin has as many calls in flight as it may; `Quarantined`.
    pub(crate) fn enter(self: &Arc<Self>, phase: Phase) -> Result<Entered, Failure> {
        let slot = self.slot().ok_or(Failure::PoolExhausted)?;
        let pass = self.breakers.lock().admit(phase, Instant::now()).ok_or(Failure::Quarantined)?;
        Ok(Entered { slot, phase, pass, end: End::Unknown })
    }

    /// Whether a verdict of this phase that is known may be given without a call: not in quarantine, where requests are refused.
    pub(crate) fn vouch(&self, phase: Phase) -> bool {
        if self.calm.load(Ordering::Relaxed) {
            return true;
        }
        let mut breakers = self.breakers.lock();
        let vouched = breakers.vouch(phase);
        self.calm.store(breakers.is_calm(), Ordering::Relaxed);
        vouched
    }

    /// Whether some call ended with a verdict and the plugin is not in quarantine.
    pub(crate) fn served_well(&self) -> bool {
        self.served.load(Ordering::Relaxed) && self.breakers.lock().all_closed()
    }

    /// How many calls may be in flight at once.
    pub(crate) fn most(&self) -> u32 {
        self.most
    }

    /// How many are.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn slot(self: &Arc<Self>) -> Option<Slot> {
        let taken = |count: u32| (count < self.most).then_some(count + 1);
        let took = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        took.ok().map(|_| Slot(Arc::clone(self)))
    }
}

/// One of the calls that may be in flight.
struct Slot(Arc<Gate>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that was let in. Leaves when dropped, since the future of a call may be dropped at any time.
pub(crate) struct Entered {
    slot: Slot,
    phase: Phase,
    pass: Pass,
    end: End,
}

impl Entered {
    /// Says how the call ended. A call that nobody says it of was given up.
    pub(crate) fn ended<T>(mut self, result: &Result<T, Failure>) {
        self.end = match result {
            Ok(_) => End::Well,
            Err(failure) if failure.blames_plugin() => End::Badly,
            Err(_) => End::Unknown,
        };
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let gate = &self.slot.0;
        let mut breakers = gate.breakers.lock();
        breakers.ended(self.phase, self.pass, self.end, Instant::now());
        if self.end == End::Well && !gate.served.load(Ordering::Relaxed) {
            gate.served.store(true, Ordering::Relaxed);
        }
        gate.calm.store(breakers.is_calm(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BAD: Result<(), Failure> = Err(Failure::Deadline);

    #[test]
    fn calls_in_flight_are_bounded_and_leave_when_dropped() {
        let gate = Arc::new(Gate::new(2, 20));
        let (first, second) = (gate.enter(Phase::Request).unwrap(), gate.enter(Phase::Request).unwrap());
        assert_eq!(gate.enter(Phase::Request).err(), Some(Failure::PoolExhausted));
        drop(first);
        let third = gate.enter(Phase::Request).unwrap();
        assert_eq!(gate.enter(Phase::Request).err(), Some(Failure::PoolExhausted));
        second.ended(&Ok(()));
        third.ended(&BAD);
        assert_eq!(gate.in_flight.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn failures_that_blame_the_plugin_close_it() {
        let gate = Arc::new(Gate::new(1, 2));
        gate.enter(Phase::Request).unwrap().ended(&BAD);
        gate.enter(Phase::Request).unwrap().ended(&Err::<(), _>(Failure::PoolExhausted));
        drop(gate.enter(Phase::Request).unwrap());
        gate.enter(Phase::Request).unwrap().ended(&BAD);
        assert_eq!(gate.enter(Phase::Request).err(), Some(Failure::Quarantined));
        assert_eq!(gate.in_flight.load(Ordering::Relaxed), 0);
    }
}
