//! Records that wait to be written. It must not know files.
//!
//! The lock is held for copying one record or swapping two buffers, never while anything is written.

use std::time::Instant;

use forebay_policy::services::JournalFailure;
use parking_lot::{Condvar, Mutex};

use crate::config;

/// Records that may wait, however short.
const RECORDS: usize = 16_384;

/// What plugins put records into and a writer takes them from.
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer has something to do.
    work: Condvar,
    /// The writer is gone.
    end: Condvar,
}

struct State {
    /// Records, each with its line's end.
    text: Vec<u8>,
    /// How many are in it.
    records: usize,
    /// Records and bytes that the writer holds and has not written.
    held: (usize, usize),
    settings: config::Journal,
    /// What was taken last is not written yet, because it could not be.
    broken: bool,
    closed: bool,
    ended: bool,
}

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write these.
    Write,
    /// The time has come that it waited for.
    Due,
    /// Nothing waits any more, and nothing will.
    End,
}

impl Queue {
    pub(super) fn new(settings: &config::Journal) -> Self {
        let state = State {
            text: Vec::new(),
            records: 0,
            held: (0, 0),
            settings: settings.clone(),
            broken: false,
            closed: false,
            ended: false,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), end: Condvar::new() }
    }

    /// Takes a record if there is room.
    ///
    /// # Errors
    /// No room, or nobody who could write it.
    pub(super) fn push(&self, record: &str) -> Result<(), JournalFailure> {
        let mut state = self.state.lock();
        if state.broken || state.closed {
            return Err(JournalFailure::Unavailable);
        }
        let bytes = state.text.len().saturating_add(state.held.1).saturating_add(record.len()).saturating_add(1);
        if state.records.saturating_add(state.held.0) >= RECORDS || bytes > state.settings.queue_bytes {
            return Err(JournalFailure::Full);
        }
        state.text.extend_from_slice(record.as_bytes());
        state.text.push(b'\n');
        state.records += 1;
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Other settings, from now on.
    pub(super) fn set(&self, settings: &config::Journal) {
        self.state.lock().settings.clone_from(settings);
    }

    /// The settings.
    pub(super) fn settings(&self) -> config::Journal {
        self.state.lock().settings.clone()
    }

    /// Takes no more. What waits is still written.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_one();
    }

    /// Records that are not written.
    pub(super) fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.records.saturating_add(state.held.0)
    }

    /// For the writer: waits for records and swaps them with the empty `batch`; waits no longer than until `due`.
    pub(super) fn take(&self, batch: &mut Vec<u8>, due: Option<Instant>) -> Next {
        let mut state = self.state.lock();
        loop {
            if state.records > 0 {
                std::mem::swap(&mut state.text, batch);
                state.held = (std::mem::take(&mut state.records), batch.len());
                return Next::Write;
            }
            if state.closed {
                return Next::End;
            }
            match due {
                None => self.work.wait(&mut state),
                Some(due) => {
                    if self.work.wait_until(&mut state, due).timed_out() {
                        return Next::Due;
                    }
                }
            }
        }
    }

    /// For the writer: what it took is written.
    pub(super) fn written(&self) {
        let mut state = self.state.lock();
        state.held = (0, 0);
        state.broken = false;
    }

    /// For the writer: it cannot write now. Waits until it is to try again; false when it is to give up.
    pub(super) fn broke(&self, again: Instant) -> bool {
        let mut state = self.state.lock();
        state.broken = true;
        while !state.closed {
            if self.work.wait_until(&mut state, again).timed_out() {
                return true;
            }
        }
        false
    }

    /// For the writer: it can write again.
    pub(super) fn mended(&self) {
        self.state.lock().broken = false;
    }

    /// For the writer: it is gone.
    pub(super) fn ended(&self) {
        let mut state = self.state.lock();
        (state.closed, state.ended) = (true, true);
        drop(state);
        self.end.notify_all();
    }

    /// Whether the writer is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Waits until the writer is gone; false when it is not `until` then.
    pub(super) fn wait_ended(&self, until: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.ended {
            if self.end.wait_until(&mut state, until).timed_out() {
                return state.ended;
            }
        }
        true
    }
}
