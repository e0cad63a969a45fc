//! The state of one call: what the guest may ask about, what it did, and what it has left.
//!
//! It is the data of the call's store, so it ends with the call.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::ResourceLimiter;

use crate::edits::{Head, HeadEdit, HeadEdits, editable, legal_value};
use crate::host_time::HostTime;
use crate::limits::{CallLimits, TABLE_ELEMENTS};
use crate::phase::Phase;
use crate::views::{IdentityView, Message, RequestView, ResponseView};

/// Why the host ended a call. Travels through wasmtime as the cause of the trap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("deadline")]
    Deadline,
    #[error("memory")]
    Memory,
    #[error("host calls")]
    HostCalls,
    #[error("{0}")]
    BadVerdict(String),
    /// Asked for what this phase does not have: the host's mistake, or a forged handle.
    #[error("nothing to ask about here: {0}")]
    NotHere(&'static str),
}

/// What a hook is called about.
#[derive(Default)]
pub(crate) struct Subject {
    pub(crate) request: Option<Arc<dyn RequestView>>,
    pub(crate) response: Option<Arc<dyn ResponseView>>,
    pub(crate) identity: Option<Arc<dyn IdentityView>>,
    pub(crate) message: Option<Box<dyn Message>>,
}

/// The data of one call's store.
pub(crate) struct CallState {
    pub(crate) plugin: Arc<str>,
    /// None while `configure` runs: there is nothing to ask about then.
    pub(crate) phase: Option<Phase>,
    pub(crate) subject: Subject,
    pub(crate) edits: HeadEdits,
    limits: Arc<CallLimits>,
    host_time: HostTime,
    host_calls: u32,
    host_bytes: usize,
    edit_bytes: usize,
    edit_count: u32,
    log_lines: u32,
    log_dropped: u32,
}

impl CallState {
    pub(crate) fn new(plugin: Arc<str>, phase: Option<Phase>, subject: Subject, limits: Arc<CallLimits>) -> Self {
        // What the guest computes between host functions is in the time as well.
        let host_time = HostTime::new(limits.deadline.saturating_add(limits.host_time));
        Self {
            plugin,
            phase,
            subject,
            edits: HeadEdits::default(),
            limits,
            host_time,
            host_calls: 0,
            host_bytes: 0,
            edit_bytes: 0,
            edit_count: 0,
            log_lines: 0,
            log_dropped: 0,
        }
    }

    /// Counts one call of a host function, to which the guest passed `bytes`. Every host function begins with it.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Stop> {
        if self.phase.is_none() {
            return Err(Stop::NotHere("configure may not call the host"));
        }
        if self.host_calls >= self.limits.host_calls {
            return Err(Stop::HostCalls);
        }
        self.host_calls += 1;
        if !self.host_time.begin(Instant::now()) {
            return Err(Stop::Deadline);
        }
        self.charge_bytes(bytes)
    }

    /// Counts what a host function gives the guest.
    pub(crate) fn give<T: AsRef<[u8]>>(&mut self, value: T) -> Result<T, Stop> {
        self.charge_bytes(value.as_ref().len())?;
        Ok(value)
    }

    /// Notes that the guest yields.
    pub(crate) fn pause(&mut self) -> Result<(), Stop> {
        if self.host_time.pause(Instant::now()) { Ok(()) } else { Err(Stop::Deadline) }
    }

    fn charge_bytes(&mut self, bytes: usize) -> Result<(), Stop> {
        self.host_bytes = self.host_bytes.saturating_add(bytes);
        if self.host_bytes > self.limits.host_bytes { Err(Stop::HostCalls) } else { Ok(()) }
    }

    /// Notes that a field is to be set.
    pub(crate) fn set_header(&mut self, head: Head, name: &str, value: &[u8]) -> Result<(), Stop> {
        self.charge_edit(name.len() + value.len())?;
        let name = editable(head, name).map_err(Stop::BadVerdict)?;
        let value = legal_value(&name, value).map_err(Stop::BadVerdict)?;
        self.edits.push(HeadEdit::Set(name, value));
        Ok(())
    }

    /// Notes that a field is to be removed.
    pub(crate) fn remove_header(&mut self, head: Head, name: &str) -> Result<(), Stop> {
        self.charge_edit(name.len())?;
        let name = editable(head, name).map_err(Stop::BadVerdict)?;
        self.edits.push(HeadEdit::Remove(name));
        Ok(())
    }

    /// Whether one more log line may be written.
    pub(crate) fn charge_log_line(&mut self) -> bool {
        let allowed = self.log_lines < self.limits.log_lines;
        if allowed {
            self.log_lines += 1;
        } else {
            self.log_dropped = self.log_dropped.saturating_add(1);
        }
        allowed
    }

    /// How many log lines were dropped.
    pub(crate) fn log_dropped(&self) -> u32 {
        self.log_dropped
    }

    fn charge_edit(&mut self, bytes: usize) -> Result<(), Stop> {
        self.edit_count = self.edit_count.saturating_add(1);
        self.edit_bytes = self.edit_bytes.saturating_add(bytes);
        if self.edit_count > self.limits.edits {
            return Err(Stop::BadVerdict(format!("more than {} edits", self.limits.edits)));
        }
        if self.edit_bytes > self.limits.edit_bytes {
            return Err(Stop::BadVerdict(format!("more than {} bytes of edits", self.limits.edit_bytes)));
        }
        Ok(())
    }
}

impl ResourceLimiter for CallState {
    /// Fails the call instead of the growth: a guest that cannot get memory aborts anyway, and so the
    /// failure has its true name.
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.limits.memory_bytes { Err(Stop::Memory.into()) } else { Ok(true) }
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS { Err(Stop::Memory.into()) } else { Ok(true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(limits: CallLimits) -> CallState {
        CallState::new("p".into(), Some(Phase::Request), Subject::default(), Arc::new(limits))
    }

    #[test]
    fn host_calls_end_at_their_limit_and_never_begin_in_configure() {
        let mut state = state(CallLimits { host_calls: 2, ..CallLimits::default() });
        assert_eq!((state.charge(0), state.charge(0), state.charge(0)), (Ok(()), Ok(()), Err(Stop::HostCalls)));
        state.phase = None;
        assert!(matches!(state.charge(0), Err(Stop::NotHere(_))));
    }

    #[test]
    fn bytes_of_host_calls_are_bounded_in_both_directions_together() {
        let mut state = state(CallLimits { host_bytes: 10, ..CallLimits::default() });
        assert_eq!((state.charge(4), state.give("12345")), (Ok(()), Ok("12345")));
        assert_eq!((state.give("1"), state.give("2")), (Ok("1"), Err(Stop::HostCalls)));
        assert_eq!(state.charge(0), Err(Stop::HostCalls));
    }

    #[test]
    fn edits_are_bounded_in_number_and_in_bytes() {
        let mut few = state(CallLimits { edits: 1, ..CallLimits::default() });
        assert_eq!(few.set_header(Head::Request, "x-a", b"1"), Ok(()));
        assert!(matches!(few.remove_header(Head::Request, "x-a"), Err(Stop::BadVerdict(_))));
        let mut small = state(CallLimits { edit_bytes: 8, ..CallLimits::default() });
        assert!(matches!(small.set_header(Head::Request, "x-a", b"123456"), Err(Stop::BadVerdict(_))));
        assert!(small.edits.is_empty());
    }

    #[test]
    fn log_lines_past_the_limit_are_counted() {
        let mut state = state(CallLimits { log_lines: 1, ..CallLimits::default() });
        assert!(state.charge_log_line());
        assert!(!state.charge_log_line());
        assert!(!state.charge_log_line());
        assert_eq!(state.log_dropped(), 2);
    }

    #[test]
    fn memory_and_tables_end_at_their_limits() {
        let mut state = state(CallLimits { memory_bytes: 1 << 16, ..CallLimits::default() });
        assert!(state.memory_growing(0, 1 << 16, None).is_ok());
        assert!(state.memory_growing(0, 1 << 17, None).is_err());
        assert!(state.table_growing(0, TABLE_ELEMENTS + 1, None).is_err());
    }
}
