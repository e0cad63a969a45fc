//! Quarantine: a plugin that fails again and again is left alone for a while.
//!
//! Requests are refused either way; what it saves is the time that a node would spend on calls that fail. Failures in a
//! row are counted for each phase: a plugin that decides well about heads and fails on every body fails every request
//! with a body. While any of its phases rests, all do. A pure function of what happened and of the time that it is told.

use std::time::{Duration, Instant};

use crate::phase::Phase;

/// The first quarantine. Each one that ends in another failure is followed by one twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// A probe that says nothing for so long is not the only one any more: a body may stream for hours.
const PROBE: Duration = Duration::from_secs(5);
/// No quarantine is longer.
const LONGEST: Duration = Duration::from_secs(60);

/// How a call ended, as far as its plugin is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a verdict.
    Well,
    /// With a failure that the plugin is to blame for.
    Badly,
    /// It was given up, or failed for another reason: it says nothing.
    Unknown,
}

/// What a call was let through as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Call,
    /// The one call after a quarantine that decides whether there is another.
    Probe,
}

/// The breakers of one plugin, one for each phase.
#[derive(Debug)]
pub(crate) struct Breakers([Breaker; Phase::ALL.len()]);

impl Breakers {
    /// Breakers that so many failures in a row open; 0: none do.
    pub(crate) fn new(after: u32) -> Self {
        Self(Phase::ALL.map(|_| Breaker::new(after)))
    }

    /// Whether a call of this phase may begin, as [`Breaker::admit`] has it. A phase whose time is over keeps no other one
    /// out: a request must get as far as the call that decides.
    pub(crate) fn admit(&mut self, phase: Phase, now: Instant) -> Option<Pass> {
        if self.0.iter().any(|breaker| breaker.rests(now)) {
            return None;
        }
        self.of(phase)?.admit(now)
    }

    /// Whether a verdict of this phase may be given without a call.
    pub(crate) fn vouch(&mut self, phase: Phase) -> bool {
        self.all_closed() && self.of(phase).is_some_and(Breaker::vouch)
    }

    /// Whether no phase is in quarantine.
    pub(crate) fn all_closed(&self) -> bool {
        self.0.iter().all(Breaker::is_closed)
    }

    /// Whether no failure is counted.
    pub(crate) fn is_calm(&self) -> bool {
        self.0.iter().all(Breaker::is_calm)
    }

    /// Notes how a call of this phase ended.
    pub(crate) fn ended(&mut self, phase: Phase, pass: Pass, end: End, now: Instant) {
        if let Some(breaker) = self.of(phase) {
            breaker.ended(pass, end, now);
        }
    }

    fn of(&mut self, phase: Phase) -> Option<&mut Breaker> {
        self.0.get_mut(phase as usize)
    }
}

/// The breaker of one phase.
#[derive(Debug)]
struct Breaker {
    /// How many failures in a row open it, or as many more than calls that ended well; 0: none do.
    after: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// `failures`: how many more calls failed than ended well since there were none.
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        wait: Duration,
    },
    /// `expires`: when another probe is let in, whatever became of this one.
    Probing {
        wait: Duration,
        expires: Instant,
    },
}

impl Breaker {
    fn new(after: u32) -> Self {
        Self { after, state: State::Closed { failures: 0 } }
    }

    /// Whether a call may begin. Whoever gets a pass says with [`Breaker::ended`] how the call ended.
    fn admit(&mut self, now: Instant) -> Option<Pass> {
        match self.state {
            State::Closed { .. } => Some(Pass::Call),
            State::Open { until: due, wait } | State::Probing { expires: due, wait } if now >= due => {
                self.state = State::Probing { wait, expires: now + PROBE };
                Some(Pass::Probe)
            }
            State::Open { .. } | State::Probing { .. } => None,
        }
    }

    /// Whether a verdict may be given without a call. One that was counts as a call that ended well.
    fn vouch(&mut self) -> bool {
        let State::Closed { failures } = &mut self.state else { return false };
        *failures = failures.saturating_sub(1);
        true
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether its quarantine goes on.
    fn rests(&self, now: Instant) -> bool {
        matches!(self.state, State::Open { until, .. } if now < until)
    }

    /// Whether no failure is counted.
    fn is_calm(&self) -> bool {
        matches!(self.state, State::Closed { failures: 0 })
    }

    /// Notes how a call ended. Calls that began before a quarantine do not change it.
    fn ended(&mut self, pass: Pass, end: End, now: Instant) {
        let open = |wait: Duration| State::Open { until: now + wait, wait };
        match (&mut self.state, pass, end) {
            (State::Closed { failures }, _, End::Well) => *failures = failures.saturating_sub(1),
            (State::Closed { failures }, _, End::Badly) => {
                *failures = failures.saturating_add(1);
                if self.after > 0 && *failures >= self.after {
                    self.state = open(FIRST);
                }
            }
            (State::Probing { .. }, Pass::Probe, End::Well) => self.state = State::Closed { failures: 0 },
            (State::Probing { wait, .. }, Pass::Probe, End::Badly) => {
                self.state = open(wait.saturating_mul(2).min(LONGEST));
            }
            // The next call is the probe instead.
            (State::Probing { wait, .. }, Pass::Probe, End::Unknown) => {
                self.state = State::Open { until: now, wait: *wait };
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A breaker that two failures opened at the returned time.
    fn open() -> (Breaker, Instant) {
        let (mut breaker, now) = (Breaker::new(2), Instant::now());
        for _ in 0..2 {
            let pass = breaker.admit(now).unwrap();
            breaker.ended(pass, End::Badly, now);
        }
        (breaker, now)
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let (mut breaker, now) = (Breaker::new(2), Instant::now());
        for end in [End::Badly, End::Well, End::Badly, End::Well, End::Badly, End::Unknown] {
            assert_eq!(breaker.admit(now), Some(Pass::Call));
            breaker.ended(Pass::Call, end, now);
        }
        breaker.ended(Pass::Call, End::Badly, now);
        assert_eq!(breaker.admit(now), None);
    }

    #[test]
    fn one_probe_passes_after_the_time_and_its_success_closes() {
        let (mut breaker, start) = open();
        assert_eq!(breaker.admit(start + FIRST - Duration::from_nanos(1)), None);
        assert_eq!(breaker.admit(start + FIRST), Some(Pass::Probe));
        assert_eq!(breaker.admit(start + FIRST), None);
        breaker.ended(Pass::Probe, End::Well, start + FIRST);
        assert_eq!(breaker.admit(start + FIRST), Some(Pass::Call));
        // It counts from the beginning again.
        breaker.ended(Pass::Call, End::Badly, start + FIRST);
        assert_eq!(breaker.admit(start + FIRST), Some(Pass::Call));
    }

    #[test]
    fn each_failed_probe_doubles_the_time_up_to_its_bound() {
        let (mut breaker, mut now) = open();
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(breaker.admit(now + seconds(wait) - Duration::from_nanos(1)), None, "{wait}");
            now += seconds(wait);
            assert_eq!(breaker.admit(now), Some(Pass::Probe), "{wait}");
            breaker.ended(Pass::Probe, End::Badly, now);
        }
    }

    #[test]
    fn a_probe_that_goes_on_for_long_keeps_no_other_out() {
        let (mut breaker, start) = open();
        let now = start + FIRST;
        assert_eq!(breaker.admit(now), Some(Pass::Probe));
        assert_eq!(breaker.admit(now + PROBE - Duration::from_nanos(1)), None);
        assert_eq!(breaker.admit(now + PROBE), Some(Pass::Probe));
        assert_eq!(breaker.admit(now + PROBE), None);
        breaker.ended(Pass::Probe, End::Well, now + PROBE);
        assert_eq!(breaker.admit(now + PROBE), Some(Pass::Call));
        // The first is a call like any other by now.
        breaker.ended(Pass::Probe, End::Badly, now + PROBE);
        assert_eq!(breaker.admit(now + PROBE), Some(Pass::Call));
    }

    #[test]
    fn a_hook_that_fails_more_often_than_not_is_quarantined_and_one_that_does_not_never() {
        for (failing, opens) in [(6, true), (5, false)] {
            let (mut breaker, now) = (Breaker::new(20), Instant::now());
            for call in 0..1_000 {
                let end = if call % 10 < failing { End::Badly } else { End::Well };
                breaker.ended(Pass::Call, end, now);
            }
            assert_eq!(breaker.admit(now).is_none(), opens, "{failing} of 10");
        }
    }

    #[test]
    fn a_probe_that_says_nothing_is_followed_by_another() {
        let (mut breaker, start) = open();
        let now = start + FIRST;
        assert_eq!(breaker.admit(now), Some(Pass::Probe));
        breaker.ended(Pass::Probe, End::Unknown, now);
        assert_eq!(breaker.admit(now), Some(Pass::Probe));
    }

    #[test]
    fn calls_from_before_do_not_decide_for_the_probe() {
        let (mut breaker, start) = open();
        breaker.ended(Pass::Call, End::Well, start);
        assert_eq!(breaker.admit(start), None);
        assert_eq!(breaker.admit(start + FIRST), Some(Pass::Probe));
        breaker.ended(Pass::Call, End::Well, start + FIRST);
        breaker.ended(Pass::Call, End::Badly, start + FIRST);
        assert_eq!(breaker.admit(start + FIRST), None);
        breaker.ended(Pass::Probe, End::Well, start + FIRST);
        assert_eq!(breaker.admit(start + FIRST), Some(Pass::Call));
    }

    #[test]
    fn a_verdict_without_a_call_counts_as_one_and_not_in_quarantine() {
        let (mut breaker, now) = (Breaker::new(2), Instant::now());
        assert!(breaker.is_calm() && breaker.vouch());
        breaker.ended(Pass::Call, End::Badly, now);
        assert!(!breaker.is_calm() && breaker.vouch() && breaker.is_calm());
        breaker.ended(Pass::Call, End::Badly, now);
        assert_eq!(breaker.admit(now), Some(Pass::Call));
        let (mut breaker, start) = open();
        assert!(!breaker.vouch());
        assert_eq!(breaker.admit(start + FIRST), Some(Pass::Probe));
        assert!(!breaker.vouch() && !breaker.is_calm());
        breaker.ended(Pass::Probe, End::Well, start + FIRST);
        assert!(breaker.is_calm() && breaker.vouch());
    }

    #[test]
    fn failures_are_in_a_row_by_phase_and_quarantine_is_of_all() {
        let (mut breakers, start) = (Breakers::new(2), Instant::now());
        let (head, body) = (Phase::Request, Phase::RequestBody);
        for _ in 0..2 {
            assert!(breakers.vouch(head) && breakers.admit(head, start) == Some(Pass::Call));
            breakers.ended(head, Pass::Call, End::Well, start);
            assert_eq!(breakers.admit(body, start), Some(Pass::Call));
            breakers.ended(body, Pass::Call, End::Badly, start);
        }
        assert!(!breakers.all_closed() && !breakers.is_calm() && !breakers.vouch(head));
        assert_eq!((breakers.admit(head, start), breakers.admit(body, start)), (None, None));
        // When its time is over, requests get as far as the one call that decides.
        let now = start + FIRST;
        for pass in [Some(Pass::Probe), None] {
            assert_eq!(breakers.admit(head, now), Some(Pass::Call));
            breakers.ended(head, Pass::Call, End::Well, now);
            assert_eq!(breakers.admit(body, now), pass);
        }
        assert!(!breakers.vouch(head));
        breakers.ended(body, Pass::Probe, End::Well, now);
        assert!(breakers.is_calm() && breakers.vouch(head));
    }

    #[test]
    fn zero_never_opens() {
        let (mut breaker, now) = (Breaker::new(0), Instant::now());
        (0..1_000).for_each(|_| breaker.ended(Pass::Call, End::Badly, now));
        assert_eq!(breaker.admit(now), Some(Pass::Call));
    }
}
