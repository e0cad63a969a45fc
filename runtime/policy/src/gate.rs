//! The gate before a plugin's calls, so that one plugin takes neither all instances nor, when it only fails,
//! the node's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::breaker::{Breakers, End, Pass};
use crate::error::Failure;
use crate::limits::STREAM_SHARE;
use crate::phase::Phase;

/// Counts a plugin's calls in flight and remembers how its last ones ended.
pub(crate) struct Gate {
    most: u32,
    in_flight: AtomicU32,
    /// How many of them are bodies that stream.
    streams: AtomicU32,
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
            streams: AtomicU32::new(0),
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
        let pass = self.admit(phase).ok_or(Failure::Quarantined)?;
        Ok(Entered { slot, _stream: None, phase, pass, end: End::Unknown })
    }

    /// Lets a body in that streams through hooks of this phase.
    ///
    /// # Errors
    /// As [`Gate::enter`]; `StreamsExhausted` when as many stream as may.
    pub(crate) fn enter_stream(self: &Arc<Self>, phase: Phase) -> Result<Entered, Failure> {
        let stream = self.stream_slot().ok_or(Failure::StreamsExhausted)?;
        let mut entered = self.enter(phase)?;
        entered._stream = Some(stream);
        Ok(entered)
    }

    fn admit(&self, phase: Phase) -> Option<Pass> {
        // While no failure is counted there is nothing to ask.
        if self.calm.load(Ordering::Relaxed) {
            return Some(Pass::Call);
        }
        self.breakers.lock().admit(phase, Instant::now())
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

    /// Whether the plugin is in quarantine.
    pub(crate) fn is_quarantined(&self) -> bool {
        !self.calm.load(Ordering::Relaxed) && !self.breakers.lock().all_closed()
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

    fn note(&self, phase: Phase, pass: Pass, end: End) {
        if end == End::Well && !self.served.load(Ordering::Relaxed) {
            self.served.store(true, Ordering::Relaxed);
        }
        // The usual case: there is nothing to make good for, and no lock that all cores share.
        if pass == Pass::Call && end != End::Badly && self.calm.load(Ordering::Relaxed) {
            return;
        }
        let mut breakers = self.breakers.lock();
        breakers.ended(phase, pass, end, Instant::now());
        self.calm.store(breakers.is_calm(), Ordering::Relaxed);
    }

    fn slot(self: &Arc<Self>) -> Option<Slot> {
        let taken = |count: u32| (count < self.most).then_some(count + 1);
        let took = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        took.ok().map(|_| Slot(Arc::clone(self)))
    }

    fn stream_slot(self: &Arc<Self>) -> Option<StreamSlot> {
        let most = (self.most / STREAM_SHARE).max(1);
        let taken = |count: u32| (count < most).then_some(count + 1);
        let took = self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        took.ok().map(|_| StreamSlot(Arc::clone(self)))
    }
}

/// One of the bodies that may stream.
struct StreamSlot(Arc<Gate>);

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
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
    /// Held for as long as the call by a body that streams.
    _stream: Option<StreamSlot>,
    phase: Phase,
    pass: Pass,
    end: End,
}

impl Entered {
    /// Says that what was let in does well so far, which may be for hours: nobody is kept out until it ends.
    pub(crate) fn goes_well(&mut self) {
        if self.pass == Pass::Probe {
            self.slot.0.note(self.phase, self.pass, End::Well);
            self.pass = Pass::Call;
        }
    }

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
        self.slot.0.note(self.phase, self.pass, self.end);
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
    fn streams_take_half_of_the_share_at_most() {
        let gate = Arc::new(Gate::new(5, 20));
        let (first, _second) =
            (gate.enter_stream(Phase::RequestChunk).unwrap(), gate.enter_stream(Phase::RequestChunk));
        assert_eq!(gate.enter_stream(Phase::ResponseChunk).err(), Some(Failure::StreamsExhausted));
        let heads: Vec<_> = (0..3).map(|_| gate.enter(Phase::Request).unwrap()).collect();
        assert_eq!(gate.enter(Phase::Request).err(), Some(Failure::PoolExhausted));
        drop(first);
        assert!(gate.enter_stream(Phase::RequestChunk).is_ok());
        drop(heads);
        assert!(Arc::new(Gate::new(1, 20)).enter_stream(Phase::RequestChunk).is_ok());
    }

    #[test]
    fn a_stream_that_goes_well_ends_a_quarantine_and_may_go_on() {
        let gate = Arc::new(Gate::new(4, 1));
        gate.enter(Phase::RequestChunk).unwrap().ended(&BAD);
        assert_eq!(gate.enter_stream(Phase::RequestChunk).err(), Some(Failure::Quarantined));
        let later = Instant::now() + std::time::Duration::from_secs(2);
        let pass = gate.breakers.lock().admit(Phase::RequestChunk, later).unwrap();
        let slot = gate.slot().unwrap();
        let mut stream = Entered { slot, _stream: None, phase: Phase::RequestChunk, pass, end: End::Unknown };
        assert_eq!(gate.enter(Phase::RequestChunk).err(), Some(Failure::Quarantined));
        stream.goes_well();
        assert!(gate.enter(Phase::RequestChunk).is_ok() && gate.served_well());
        drop(stream);
        assert!(gate.enter(Phase::RequestChunk).is_ok());
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
