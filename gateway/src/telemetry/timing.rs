//! How long each stage of one request took, as `Server-Timing` (W3C Server Timing) and as metrics.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::config::ServerTiming;

/// The stages of a request, by the names that code, documents, metrics, spans and plugins share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Host, path and method become a route.
    Route,
    /// Concurrency and size limits; the deadline is fixed.
    Admit,
    /// The caller's token is verified.
    Identity,
    /// Plugins see the request.
    PolicyRequest,
    /// The body becomes an inference.
    Decode,
    /// An answer is looked for, or waited for.
    CacheLookup,
    /// A region or origin answers.
    Forward,
    /// The answer is kept.
    CacheStore,
    /// Plugins see the answer.
    PolicyResponse,
    /// The answer takes the caller's form.
    Encode,
}

impl Stage {
    /// How many there are.
    pub(crate) const COUNT: usize = 10;
    /// All of them, in order.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Route,
        Self::Admit,
        Self::Identity,
        Self::PolicyRequest,
        Self::Decode,
        Self::CacheLookup,
        Self::Forward,
        Self::CacheStore,
        Self::PolicyResponse,
        Self::Encode,
    ];

    /// Whether anybody may know how long it took. How long a decision takes says something of what was decided, and of
    /// whether it was known before.
    fn is_open(self) -> bool {
        matches!(self, Self::CacheLookup | Self::Forward | Self::CacheStore)
    }

    /// The stage's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Admit => "admit",
            Self::Identity => "identity",
            Self::PolicyRequest => "policy-request",
            Self::Decode => "decode",
            Self::CacheLookup => "cache-lookup",
            Self::Forward => "forward",
            Self::CacheStore => "cache-store",
            Self::PolicyResponse => "policy-response",
            Self::Encode => "encode",
        }
    }
}

/// A clock that is told which stage begins; the time until the next call belongs to it.
#[derive(Debug)]
pub struct StageClock {
    started: Instant,
    since: Instant,
    current: Option<Stage>,
    spent: [Duration; Stage::COUNT],
}

impl StageClock {
    /// A clock that starts now.
    pub fn start(now: Instant) -> Self {
        Self { started: now, since: now, current: None, spent: [Duration::ZERO; Stage::COUNT] }
    }

    /// Ends the stage before and begins `stage`.
    pub fn enter(&mut self, stage: Stage) {
        self.close(Instant::now());
        self.current = Some(stage);
    }

    /// Ends the stage in work.
    pub fn close(&mut self, now: Instant) {
        if let Some(stage) = self.current.take()
            && let Some(spent) = self.spent.get_mut(stage as usize)
        {
            *spent += now.saturating_duration_since(self.since);
        }
        self.since = now;
    }

    /// Time since the request came.
    pub fn total(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// The stages that took time, in order.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, Duration)> + '_ {
        Stage::ALL.into_iter().zip(self.spent.iter().copied()).filter(|(_, spent)| !spent.is_zero())
    }

    /// The value of `Server-Timing`, in milliseconds: every stage, or those that anybody may know, in whole
    /// milliseconds. `beyond` is what the region said of its own time.
    pub fn header(&self, now: Instant, beyond: Option<&str>, detail: ServerTiming) -> String {
        let mut text = String::with_capacity(256);
        let full = detail == ServerTiming::Full;
        for (stage, spent) in self.stages().filter(|(stage, _)| full || stage.is_open()) {
            text.push_str(stage.name());
            push_millis(&mut text, spent, full);
            text.push_str(", ");
        }
        text.push_str("total");
        push_millis(&mut text, self.total(now), full);
        if let Some(beyond) = beyond {
            text.push_str(", ");
            text.push_str(beyond);
        }
        text
    }
}

/// `;dur=` and milliseconds, to the microsecond or whole, without the cost of formatting a float.
fn push_millis(text: &mut String, time: Duration, to_the_microsecond: bool) {
    let micros = time.as_micros();
    let _ = match to_the_microsecond {
        true => write!(text, ";dur={}.{:03}", micros / 1_000, micros % 1_000),
        false => write!(text, ";dur={}", micros / 1_000),
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn time_goes_to_the_stage_in_work() {
        let start = Instant::now();
        let mut clock = StageClock::start(start);
        clock.enter(Stage::Decode);
        let end = Instant::now() + Duration::from_millis(5);
        clock.close(end);
        let (stage, spent) = clock.stages().next().unwrap();
        assert_eq!(stage, Stage::Decode);
        assert!(spent >= Duration::from_millis(5));
        let header = |detail| clock.header(end, Some("region;dur=1"), detail);
        assert!(header(ServerTiming::Full).starts_with("decode;dur="));
        let open = header(ServerTiming::Coarse);
        assert!(open.starts_with("total;dur=") && open.ends_with(", region;dur=1"), "{open}");
        assert_eq!(open.matches('.').count(), 0, "{open}");
    }

    #[test]
    fn milliseconds_have_three_places() {
        let mut text = String::new();
        push_millis(&mut text, Duration::from_micros(12_034), true);
        push_millis(&mut text, Duration::from_micros(12_934), false);
        assert_eq!(text, ";dur=12.034;dur=12");
    }

    #[test]
    fn every_stage_has_its_place() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
        }
    }
}
