//! Decisions without a run: what stands between a plugin's hooks and its memo.
//!
//! Only the hooks that see heads have one, and only in a plugin that imports nothing but pure interfaces. A plugin
//! in quarantine is not asked, and its memo does not answer for it: its requests are refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::capability::Capability;
use crate::edits::{HeadEdit, HeadEdits};
use crate::facts::Facts;
use crate::gate::Gate;
use crate::limits::CallLimits;
use crate::memo::{Memo, MemoStats, Recalled, TRACE_LIMITS, Weigh};
use crate::phase::{Phase, Phases};
use crate::plugin::Plugin;
use crate::recorder::{RECORD_LIMITS, Recorder};
use crate::replay::Record;
use crate::trace::Tracer;
use crate::verdict::{Answer, Outcome};
use crate::views::{IdentityView, RequestView, ResponseView};

/// What is known of a decision before a run.
#[derive(Debug)]
pub enum Recall {
    /// The decision.
    Known(Known),
    /// The guest must run.
    Unknown(Unknown),
}

/// A decision in the memo. Clones are cheap, and those of the usual one touch nothing that other cores do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Go on with these edits; None: there are none.
    Continue(Option<Arc<HeadEdits>>),
    /// Answer the client.
    Answer(Arc<Answer>),
}

/// What a run is to leave behind. Goes from a recall to the run after it.
#[derive(Clone, Copy, Debug)]
pub struct Unknown {
    keep: bool,
    record: bool,
}

impl Unknown {
    /// A run that leaves nothing.
    pub(crate) const NOTHING: Self = Self { keep: false, record: false };

    /// Where its reads are noted, if they are.
    pub(crate) fn tracer(self) -> Option<Tracer> {
        match self {
            Self { record: true, .. } => Some(Tracer::new(RECORD_LIMITS)),
            Self { keep: true, .. } => Some(Tracer::new(TRACE_LIMITS)),
            Self { .. } => None,
        }
    }
}

impl Known {
    fn of(outcome: &Outcome<HeadEdits>) -> Self {
        match outcome {
            Outcome::Continue(edits) if edits.is_empty() => Self::Continue(None),
            Outcome::Continue(edits) => Self::Continue(Some(Arc::new(edits.clone()))),
            Outcome::Answer(answer) => Self::Answer(Arc::new(answer.clone())),
        }
    }

    /// The decision as a caller's own.
    pub(crate) fn into_outcome(self) -> Outcome<HeadEdits> {
        match self {
            Self::Continue(edits) => Outcome::Continue(edits.map(Arc::unwrap_or_clone).unwrap_or_default()),
            Self::Answer(answer) => Outcome::Answer(Arc::unwrap_or_clone(answer)),
        }
    }
}

impl Weigh for Known {
    fn weigh(&self) -> usize {
        match self {
            Self::Continue(None) => 0,
            Self::Continue(Some(edits)) => edits.iter().map(edit_bytes).sum(),
            Self::Answer(answer) => {
                let headers = answer.headers.iter().map(|(name, value)| 128 + name.as_str().len() + value.len());
                size_of::<Answer>() + answer.detail.len() + headers.sum::<usize>()
            }
        }
    }
}

fn edit_bytes(edit: &HeadEdit) -> usize {
    let text = match edit {
        HeadEdit::Set(name, value) => name.as_str().len() + value.len(),
        HeadEdit::Remove(name) => name.as_str().len(),
        HeadEdit::Restrict(areas) => areas.iter().map(|area| size_of::<String>() + area.len()).sum(),
    };
    size_of::<HeadEdit>() + text
}

/// The memos of one plugin, and who records its decisions.
pub(crate) struct Memory {
    pub(crate) is_pure: bool,
    request: Memo<Known>,
    response: Memo<Known>,
    pub(crate) recorder: Recorder,
}

impl Memory {
    pub(crate) fn new(imports: &BTreeSet<Capability>, hooks: Phases, limits: &CallLimits) -> Self {
        let is_pure = imports.iter().all(|capability| capability.is_pure());
        let with_memo = [Phase::Request, Phase::Response].into_iter().filter(|phase| hooks.has(*phase));
        let share = limits.memo_bytes.checked_div(with_memo.count()).unwrap_or_default();
        let memo = |phase| Memo::new(if is_pure && hooks.has(phase) { share as u64 } else { 0 });
        let (request, response) = (memo(Phase::Request), memo(Phase::Response));
        Self { is_pure, request, response, recorder: Recorder::default() }
    }

    fn of(&self, phase: Phase) -> Option<&Memo<Known>> {
        match phase {
            Phase::Request => Some(&self.request),
            Phase::Response => Some(&self.response),
            _ => None,
        }
    }

    fn recall(&self, phase: Phase, memo: &Memo<Known>, facts: &Facts<'_>, gate: &Gate) -> Recall {
        if self.recorder.is_armed() {
            return Recall::Unknown(Unknown { keep: memo.is_on(), record: true });
        }
        match memo.recall(facts) {
            Recalled::Hit(known) if gate.vouch(phase) => Recall::Known(known),
            Recalled::Hit(_) => Recall::Unknown(Unknown::NOTHING),
            Recalled::Miss { trace } => Recall::Unknown(Unknown { keep: trace, record: false }),
        }
    }
}

impl Plugin {
    /// Whether it imports nothing but pure interfaces, so that it decides alike whenever it reads alike.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        self.inner.memory.is_pure
    }

    /// What became of the lookups in its memo.
    #[must_use]
    pub fn memo_stats(&self) -> MemoStats {
        self.inner.memory.request.stats().plus(self.inner.memory.response.stats())
    }

    /// The decision of `on-request` about this head, if it is known without a run. Takes well under a microsecond
    /// and allocates nothing.
    #[must_use]
    pub fn recall_request(&self, request: &dyn RequestView, identity: &dyn IdentityView) -> Recall {
        let facts = Facts { request: Some(request), identity: Some(identity), response: None, message: false };
        self.inner.memory.recall(Phase::Request, &self.inner.memory.request, &facts, &self.inner.gate)
    }

    /// The same of `on-response`; `message`: whether there is one. A hook that is answered from memory cannot have
    /// changed it.
    #[must_use]
    pub fn recall_response(
        &self,
        response: &dyn ResponseView,
        message: bool,
        request: &dyn RequestView,
        identity: &dyn IdentityView,
    ) -> Recall {
        let facts = Facts { request: Some(request), identity: Some(identity), response: Some(response), message };
        self.inner.memory.recall(Phase::Response, &self.inner.memory.response, &facts, &self.inner.gate)
    }

    /// Takes in how a traced run ended.
    pub(crate) fn learn(&self, phase: Phase, unknown: Unknown, tracer: &Tracer, outcome: &Outcome<HeadEdits>) {
        let memory = &self.inner.memory;
        let Some(reads) = tracer.finish() else {
            // Too much to record, but whoever wanted it may be gone.
            memory.recorder.is_armed();
            return;
        };
        if unknown.record {
            memory.recorder.record(|| Record::of(self.name(), self.digest(), phase, &reads, outcome));
        }
        let fits = TRACE_LIMITS.allow(&reads);
        let Some(memo) = memory.of(phase).filter(|_| unknown.keep && fits) else { return };
        if memo.keep(reads, Known::of(outcome)) {
            tracing::error!(
                plugin = self.name(),
                hook = phase.hook(),
                "two runs that read the same decided differently; verdicts are not remembered any more"
            );
        }
    }
}
