//! Shadow mode: a candidate runs beside the active version on live traffic. What it decides changes nothing; where it
//! differs from what the active version decided is counted, and sampled without the content of any request.
//!
//! It runs after the active version and apart from the request, which never waits for it. When as many comparisons are
//! under way as may be, the next are skipped and counted.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use forebay_policy::{Context, Failure, HeadEdit, HeadEdits, Outcome, Phase, Plugin};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::telemetry::metrics::Metrics;

/// Comparisons of one candidate at once.
const AT_ONCE: usize = 32;
/// Differences that are kept; the oldest goes first.
const SAMPLES: usize = 32;
/// The longest body that a candidate is shown: it is held beyond the request, whose room for it is given back by then.
pub(super) const BODY_BYTES: usize = 256 * 1024;
/// How long a candidate may wait for others, beyond its own limits.
const PATIENCE: Duration = Duration::from_secs(10);

/// A candidate for the place of an active version.
pub(crate) struct Shadow {
    candidate: Plugin,
    /// How many of a hundred calls are compared.
    percent: u8,
    room: Arc<Semaphore>,
    counts: Arc<Counts>,
    metrics: Arc<Metrics>,
}

/// What was found so far.
#[derive(Default)]
struct Counts {
    same: AtomicU64,
    different: AtomicU64,
    skipped: AtomicU64,
    samples: Mutex<VecDeque<Difference>>,
}

/// One call that the two versions ended differently. Names of fields, never their values.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Difference {
    at_unix_ms: u64,
    route: String,
    trace: String,
    hook: &'static str,
    active: String,
    candidate: String,
}

/// What operators see of a shadow.
#[derive(Debug, Serialize)]
pub(crate) struct ShadowStatus {
    digest: String,
    percent: u8,
    same: u64,
    different: u64,
    skipped: u64,
    differences: Vec<Difference>,
}

/// What a hook gives, as far as the two versions are compared by it.
pub(crate) trait Compared: Clone + PartialEq + Send + 'static {
    /// What it says, without any content.
    fn summary(&self) -> String;
}

impl Compared for HeadEdits {
    fn summary(&self) -> String {
        let edits: Vec<String> = self
            .iter()
            .map(|edit| match edit {
                HeadEdit::Set(name, _) => format!("set {name}"),
                HeadEdit::Remove(name) => format!("remove {name}"),
                HeadEdit::Restrict(areas) => format!("restrict to {}", areas.join(" or ")),
            })
            .collect();
        if edits.is_empty() { "continue".to_owned() } else { format!("continue: {}", edits.join(", ")) }
    }
}

impl Compared for Bytes {
    fn summary(&self) -> String {
        format!("continue with {} bytes", self.len())
    }
}

/// How a call ended.
pub(crate) type Ended<T> = Result<Outcome<T>, Failure>;

impl Shadow {
    /// A candidate that is compared on `percent` of a hundred calls. What was found of the same candidate `before` is gone
    /// on with.
    pub(crate) fn new(candidate: Plugin, percent: u8, metrics: Arc<Metrics>, before: Option<&Self>) -> Self {
        let before = before.filter(|before| before.candidate.digest() == candidate.digest());
        let counts = before.map(|before| Arc::clone(&before.counts)).unwrap_or_default();
        Self { candidate, percent, room: Arc::new(Semaphore::new(AT_ONCE)), counts, metrics }
    }

    /// The candidate.
    pub(crate) fn candidate(&self) -> &Plugin {
        &self.candidate
    }

    /// Has the candidate decide too, some time soon, and compares.
    pub(crate) fn compare<T, F>(
        self: &Arc<Self>,
        phase: Phase,
        context: &Context,
        active: &Ended<T>,
        call: impl FnOnce(Plugin, Context) -> F,
    ) where
        T: Compared,
        F: Future<Output = Ended<T>> + Send + 'static,
    {
        if self.percent < 100 && rand::random_range(0..100) >= self.percent {
            return;
        }
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.count(phase, "skipped", &self.counts.skipped);
            return;
        };
        let (shadow, active) = (Arc::clone(self), active.clone());
        let (route, trace) = (context.request.route().to_owned(), context.request.trace_id().to_owned());
        let call = call(self.candidate.clone(), context.clone());
        tokio::spawn(async move {
            let candidate = timeout(PATIENCE, call).await.unwrap_or(Err(Failure::Deadline));
            shadow.judge(phase, (route, trace), &active, &candidate);
            drop(place);
        });
    }

    fn judge<T: Compared>(
        &self,
        phase: Phase,
        (route, trace): (String, String),
        active: &Ended<T>,
        candidate: &Ended<T>,
    ) {
        if alike(active, candidate) {
            return self.count(phase, "same", &self.counts.same);
        }
        self.count(phase, "different", &self.counts.different);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let difference = Difference {
            at_unix_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            route,
            trace,
            hook: phase.hook(),
            active: summary(active),
            candidate: summary(candidate),
        };
        let mut samples = self.counts.samples.lock();
        if samples.len() >= SAMPLES {
            samples.pop_front();
        }
        samples.push_back(difference);
    }

    /// A call that is not compared: its body is too long to be held for a candidate.
    pub(crate) fn skip(&self, phase: Phase) {
        self.count(phase, "skipped", &self.counts.skipped);
    }

    fn count(&self, phase: Phase, result: &'static str, count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
        self.metrics.shadow(self.candidate.name(), phase, result);
    }

    /// What operators see.
    pub(crate) fn status(&self) -> ShadowStatus {
        ShadowStatus {
            digest: self.candidate.digest().to_owned(),
            percent: self.percent,
            same: self.counts.same.load(Ordering::Relaxed),
            different: self.counts.different.load(Ordering::Relaxed),
            skipped: self.counts.skipped.load(Ordering::Relaxed),
            differences: self.counts.samples.lock().iter().cloned().collect(),
        }
    }
}

/// Whether a request would have gone the same way. Two failures are alike whatever made them: both refuse.
fn alike<T: PartialEq>(active: &Ended<T>, candidate: &Ended<T>) -> bool {
    match (active, candidate) {
        (Ok(active), Ok(candidate)) => active == candidate,
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

fn summary<T: Compared>(ended: &Ended<T>) -> String {
    match ended {
        Ok(Outcome::Continue(rest)) => rest.summary(),
        Ok(Outcome::Answer(answer)) => {
            format!("answer {} {}", answer.status, answer.problem.as_deref().unwrap_or("without a document"))
        }
        Err(failure) => format!("failed: {}", failure.reason()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_alike_and_nothing_else_is_unless_it_is_equal() {
        let go = |bytes: &'static [u8]| Ok(Outcome::Continue(Bytes::from_static(bytes)));
        assert!(alike(&go(b"a"), &go(b"a")));
        assert!(!alike(&go(b"a"), &go(b"b")));
        assert!(!alike(&go(b"a"), &Err(Failure::Deadline)));
        assert!(alike::<Bytes>(&Err(Failure::Memory), &Err(Failure::Deadline)));
    }

    #[test]
    fn a_summary_holds_no_content() {
        assert_eq!(summary(&Ok(Outcome::Continue(Bytes::from_static(b"secret")))), "continue with 6 bytes");
        assert_eq!(summary::<Bytes>(&Err(Failure::Memory)), "failed: memory");
    }
}
