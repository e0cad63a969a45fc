//! Quarantine: a component that fails again and again is left alone for a while.
//!
//! Its requests are refused either way; what it saves is the time that a node would spend on instances that fail. The
//! decision is a pure function of what happened and of the time that it is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::Failure;

/// The first quarantine. Each one that ends in another failure is followed by one twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// No quarantine is longer.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a request that decides about the end of a quarantine keeps the next one out: it may be a stream.
const PROBE: Duration = Duration::from_secs(5);

/// How a request ended, as far as its component is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Well,
    /// With a failure that the component is to blame for.
    Badly,
    /// It was given up, or failed for another reason: it says nothing.
    Unknown,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, wait: Duration },
    Probing { since: Instant, wait: Duration },
}

#[derive(Debug)]
struct Breaker {
    /// How many failures in a row open it; 0: none do.
    after: u32,
    state: State,
}

impl Breaker {
    /// Whether a request may begin; `Some(true)`: it decides whether there is another quarantine.
    fn admit(&mut self, now: Instant) -> Option<bool> {
        match self.state {
            State::Closed { .. } => Some(false),
            State::Open { until: from, wait } if now >= from => self.probe(now, wait),
            State::Probing { since, wait } if now >= since + PROBE => self.probe(now, wait),
            State::Open { .. } | State::Probing { .. } => None,
        }
    }

    fn probe(&mut self, now: Instant, wait: Duration) -> Option<bool> {
        self.state = State::Probing { since: now, wait };
        Some(true)
    }

    /// Notes how a request ended. True: a quarantine begins. Requests that began before one do not change it.
    fn ended(&mut self, is_probe: bool, end: End, now: Instant) -> bool {
        let open = |wait: Duration| State::Open { until: now + wait, wait };
        match (&mut self.state, is_probe, end) {
            (State::Closed { failures }, _, End::Well) => *failures = 0,
            (State::Closed { failures }, _, End::Badly) => {
                *failures = failures.saturating_add(1);
                if self.after > 0 && *failures >= self.after {
                    self.state = open(FIRST);
                    return true;
                }
            }
            (State::Probing { .. }, true, End::Well) => self.state = State::Closed { failures: 0 },
            (State::Probing { wait, .. }, true, End::Badly) => {
                self.state = open(wait.saturating_mul(2).min(LONGEST));
                return true;
            }
            // The next request decides instead.
            (State::Probing { wait, .. }, true, End::Unknown) => self.state = State::Open { until: now, wait: *wait },
            _ => {}
        }
        false
    }
}

/// What one component's requests pass on their way in.
#[derive(Clone, Debug)]
pub(crate) struct Quarantine(Arc<Mutex<Breaker>>);

impl Quarantine {
    /// One that so many failures in a row begin; 0: none do.
    pub(crate) fn new(after: u32) -> Self {
        Self(Arc::new(Mutex::new(Breaker { after, state: State::Closed { failures: 0 } })))
    }

    /// Lets a request in, unless the component rests.
    pub(crate) fn enter(&self) -> Option<Entered> {
        let is_probe = self.0.lock().admit(Instant::now())?;
        Some(Entered { quarantine: self.clone(), is_probe, end: End::Unknown })
    }

    /// Whether the component rests, or is being tried after it did.
    pub(crate) fn rests(&self) -> bool {
        !matches!(self.0.lock().state, State::Closed { .. })
    }
}

/// A request that was let in. One that nobody says the end of was given up.
#[derive(Debug)]
pub(crate) struct Entered {
    quarantine: Quarantine,
    is_probe: bool,
    end: End,
}

impl Entered {
    /// Says how it ended: `alone` says that nobody else had a part in it, neither a client who was slow nor somebody
    /// whom the component asked; `begun` that the head of its response was there. True: a quarantine begins.
    pub(crate) fn ended(mut self, result: &Result<(), Failure>, alone: bool, begun: bool) -> bool {
        self.end = match result {
            Ok(()) => End::Well,
            Err(failure) if is_own(failure, alone, begun) => End::Badly,
            Err(_) => End::Unknown,
        };
        self.note()
    }

    fn note(&mut self) -> bool {
        let end = std::mem::replace(&mut self.end, End::Unknown);
        let began = self.quarantine.0.lock().ended(self.is_probe, end, Instant::now());
        self.is_probe = false;
        began
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.is_probe {
            self.note();
        }
    }
}

/// Whether a failure is the component's own doing, so that a client or an origin cannot bring it into quarantine.
fn is_own(failure: &Failure, alone: bool, begun: bool) -> bool {
    match failure {
        Failure::Trap(_) | Failure::Deadline | Failure::Memory | Failure::HostCalls | Failure::BadResponse(_) => true,
        Failure::Refused(_) | Failure::Unfinished(_) | Failure::BodyTooLarge(_) => alone,
        // A response that has begun may wait for its reader.
        Failure::NoAnswer | Failure::Lifetime => alone && !begun,
        Failure::PoolExhausted | Failure::Quarantined | Failure::Abandoned | Failure::Internal(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn breaker(after: u32) -> (Breaker, Instant) {
        (Breaker { after, state: State::Closed { failures: 0 } }, Instant::now())
    }

    #[test]
    fn only_failures_in_a_row_begin_a_quarantine() {
        let (mut breaker, now) = breaker(2);
        for end in [End::Badly, End::Well, End::Badly, End::Unknown] {
            assert_eq!(breaker.admit(now), Some(false));
            assert!(!breaker.ended(false, end, now));
        }
        assert!(breaker.ended(false, End::Badly, now));
        assert_eq!(breaker.admit(now), None);
    }

    #[test]
    fn zero_never_begins_one() {
        let (mut never, now) = breaker(0);
        assert!((0..1_000).all(|_| !never.ended(false, End::Badly, now)));
    }

    #[test]
    fn each_failed_probe_doubles_the_time_and_one_success_ends_it() {
        let (mut breaker, mut now) = breaker(1);
        breaker.ended(false, End::Badly, now);
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(breaker.admit(now + seconds(wait) - Duration::from_nanos(1)), None, "{wait}");
            now += seconds(wait);
            assert_eq!(breaker.admit(now), Some(true), "{wait}");
            assert_eq!(breaker.admit(now), None, "{wait}");
            // Requests from before do not decide.
            assert!(!breaker.ended(false, End::Well, now));
            assert!(breaker.ended(true, End::Badly, now));
        }
        now += seconds(60);
        assert_eq!(breaker.admit(now), Some(true));
        breaker.ended(true, End::Unknown, now);
        assert_eq!(breaker.admit(now), Some(true));
        assert!(!breaker.ended(true, End::Well, now));
        assert_eq!(breaker.admit(now), Some(false));
    }

    #[test]
    fn a_probe_that_goes_on_and_on_is_not_waited_for() {
        let (mut breaker, start) = breaker(1);
        breaker.ended(false, End::Badly, start);
        let now = start + FIRST;
        assert_eq!(breaker.admit(now), Some(true));
        assert_eq!(breaker.admit(now + PROBE - Duration::from_nanos(1)), None);
        assert_eq!(breaker.admit(now + PROBE), Some(true));
    }

    #[test]
    fn others_cannot_bring_a_component_into_quarantine() {
        let text = String::new;
        for (failure, alone, with_others) in [
            (Failure::Trap(text()), true, true),
            (Failure::Deadline, true, true),
            (Failure::Refused(text()), true, false),
            (Failure::Unfinished(text()), true, false),
            (Failure::NoAnswer, true, false),
            (Failure::Abandoned, false, false),
            (Failure::PoolExhausted, false, false),
        ] {
            assert_eq!(is_own(&failure, true, false), alone, "{failure:?}");
            assert_eq!(is_own(&failure, false, false), with_others, "{failure:?}");
        }
        assert!(!is_own(&Failure::Lifetime, true, true));
    }

    #[test]
    fn a_probe_that_is_dropped_is_followed_by_another() {
        let quarantine = Quarantine::new(1);
        let entered = quarantine.enter();
        assert!(entered.is_some_and(|entered| entered.ended(&Err(Failure::Deadline), true, false)));
        assert!(quarantine.rests() && quarantine.enter().is_none());
        quarantine.0.lock().state = State::Open { until: Instant::now(), wait: FIRST };
        drop(quarantine.enter());
        assert!(quarantine.enter().is_some());
    }
}
