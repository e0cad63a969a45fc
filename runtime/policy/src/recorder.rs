//! Recording of a plugin's next decisions, when an operator asks for it.
//!
//! While it lasts, the memo answers nothing, so that there are runs to record. Records hold values of requests; nobody
//! makes one unasked, and none is kept here.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::plugin::Plugin;
use crate::replay::Record;
use crate::trace::TraceLimits;

/// The most decisions of one recording.
pub const MAX_RECORDS: usize = 1_000;

/// What of a run is recorded. A run beyond it is not.
pub(crate) const RECORD_LIMITS: TraceLimits = TraceLimits { reads: 256, read_bytes: 16 * 1024, total_bytes: 64 * 1024 };

/// Why nothing is recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRecorded {
    /// What the plugin decides does not follow from what it reads of a request.
    #[error("`{0}` is not pure: only a plugin that imports nothing but http and identity can be replayed")]
    NotPure(String),
    /// A recording is in progress.
    #[error("a recording is in progress")]
    Busy,
    /// None or too many.
    #[error("{0} decisions cannot be recorded: at least 1 and at most {MAX_RECORDS}")]
    Count(usize),
}

/// The recording of one plugin, if there is one.
#[derive(Default)]
pub(crate) struct Recorder {
    armed: AtomicBool,
    recording: Mutex<Option<Recording>>,
}

struct Recording {
    left: usize,
    to: mpsc::Sender<Record>,
}

impl Recorder {
    /// Whether runs are to be recorded. Ends a recording that nobody listens to any more: a plugin whose runs all fail, or
    /// read too much, records none and would be without its memo for ever.
    pub(crate) fn is_armed(&self) -> bool {
        if !self.armed.load(Ordering::Relaxed) {
            return false;
        }
        let mut slot = self.recording.lock();
        let listens = slot.as_ref().is_some_and(|recording| !recording.to.is_closed());
        if !listens {
            *slot = None;
            self.armed.store(false, Ordering::Relaxed);
        }
        listens
    }

    fn begin(&self, count: usize) -> Result<mpsc::Receiver<Record>, NotRecorded> {
        if count == 0 || count > MAX_RECORDS {
            return Err(NotRecorded::Count(count));
        }
        let mut recording = self.recording.lock();
        if recording.as_ref().is_some_and(|recording| !recording.to.is_closed()) {
            return Err(NotRecorded::Busy);
        }
        // Room for all, so that a slow reader loses none and holds nobody up.
        let (to, from) = mpsc::channel(count);
        *recording = Some(Recording { left: count, to });
        self.armed.store(true, Ordering::Relaxed);
        Ok(from)
    }

    /// Records a run, if anybody still wants it.
    pub(crate) fn record(&self, make: impl FnOnce() -> Record) {
        let mut slot = self.recording.lock();
        let Some(recording) = slot.as_mut() else { return };
        if !recording.to.is_closed() && recording.to.try_send(make()).is_ok() {
            recording.left = recording.left.saturating_sub(1);
            if recording.left > 0 {
                return;
            }
        }
        *slot = None;
        self.armed.store(false, Ordering::Relaxed);
    }
}

impl Plugin {
    /// Records the next `count` decisions of `on-request` and `on-response`, which then all are runs. It ends early
    /// when the receiver is dropped. A run that reads more than 256 attributes, more than 16 KiB at once or 64 KiB in
    /// all is not recorded, and one that fails decided nothing.
    ///
    /// Records hold what the plugin read of requests: header fields, claims.
    ///
    /// # Errors
    /// The plugin is not pure, is recorded already, or `count` is not between 1 and [`MAX_RECORDS`].
    pub fn record(&self, count: usize) -> Result<mpsc::Receiver<Record>, NotRecorded> {
        if !self.is_pure() {
            return Err(NotRecorded::NotPure(self.name().to_owned()));
        }
        self.inner.memory.recorder.begin(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::edits::HeadEdits;
    use crate::phase::Phase;
    use crate::verdict::Outcome;

    fn record() -> Record {
        Record::of("p", "d", Phase::Request, &[], &Outcome::Continue(HeadEdits::default()))
    }

    #[test]
    fn a_recording_ends_with_its_count() {
        let recorder = Recorder::default();
        assert_eq!(recorder.begin(0).unwrap_err(), NotRecorded::Count(0));
        assert_eq!(recorder.begin(MAX_RECORDS + 1).unwrap_err(), NotRecorded::Count(MAX_RECORDS + 1));
        let mut from = recorder.begin(2).unwrap();
        assert_eq!(recorder.begin(2).unwrap_err(), NotRecorded::Busy);
        (0..3).for_each(|_| recorder.record(record));
        assert!(!recorder.is_armed());
        assert!(from.try_recv().is_ok() && from.try_recv().is_ok() && from.try_recv().is_err());
        assert!(recorder.begin(1).is_ok());
    }

    #[test]
    fn nobody_who_listens_ends_it() {
        let recorder = Recorder::default();
        drop(recorder.begin(5).unwrap());
        recorder.record(record);
        assert!(!recorder.is_armed());
        // Without a run that can be recorded too.
        let from = recorder.begin(5).unwrap();
        assert!(recorder.is_armed());
        drop(from);
        assert!(!recorder.is_armed() && recorder.begin(1).is_ok());
    }
}
