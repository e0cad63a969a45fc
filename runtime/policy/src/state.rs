//! The state of one call: what the guest may ask about, what it did, and what it has left.
//!
//! It is the data of the call's store, so it ends with the call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use http::HeaderMap;

use crate::call::is_of_the_node;
use crate::compute_time::ComputeTime;
use crate::context::{Context, Part};
use crate::edits::{Head, HeadEdit, HeadEdits, editable, legal_areas, legal_value};
use crate::facts::{Facts, Read, Value};
use crate::host_time::HostTime;
use crate::limits::{CallLimits, TABLE_ELEMENTS};
use crate::phase::Phase;
use crate::services::{Services, Wait};
use crate::trace::Tracer;
use crate::views::{Message, ResponseView};

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
    /// The host could not do its part. The plugin is not to blame.
    #[error("{0} is not available")]
    Unavailable(&'static str),
    /// Asked for what this phase does not have: the host's mistake, or a forged handle.
    #[error("nothing to ask about here: {0}")]
    NotHere(&'static str),
    /// Asked WASI for what cannot be answered with nothing.
    #[error("nothing is behind `{0}`")]
    Wasi(String),
}

/// What a hook is called about.
#[derive(Default)]
pub(crate) struct Subject {
    /// None while `configure` runs.
    pub(crate) context: Option<Context>,
    pub(crate) response: Option<Arc<dyn ResponseView>>,
    pub(crate) message: Option<Box<dyn Message>>,
    pub(crate) part: Option<Part>,
    pub(crate) trailers: Option<Arc<HeaderMap>>,
    /// Where reads of pure interfaces are noted, when the run is traced.
    pub(crate) tracer: Option<Tracer>,
}

impl Subject {
    /// What pure interfaces answer from.
    fn facts(&self) -> Facts<'_> {
        let context = self.context.as_ref();
        Facts {
            request: context.map(|context| &*context.request),
            identity: context.map(|context| &*context.identity),
            response: self.response.as_deref(),
            message: self.message.is_some(),
        }
    }
}

/// The data of one call's store.
pub(crate) struct CallState {
    pub(crate) plugin: Arc<str>,
    /// None while `configure` runs: there is nothing to ask about then.
    pub(crate) phase: Option<Phase>,
    pub(crate) subject: Subject,
    pub(crate) edits: HeadEdits,
    pub(crate) services: Arc<Services>,
    limits: Arc<CallLimits>,
    memory_bytes: usize,
    computing: ComputeTime,
    /// What the making of the instance took of the time of its first call.
    carried: Duration,
    host_time: HostTime,
    host_calls: u32,
    host_bytes_left: usize,
    edit_bytes: usize,
    edit_count: u32,
    log_lines: u32,
    log_dropped: u32,
}

/// What a call leaves for whoever made it.
pub(crate) struct Left {
    pub(crate) edits: HeadEdits,
    pub(crate) subject: Subject,
}

impl CallState {
    /// The state of an instance that is not called yet. What runs in it before a call, such as `configure` or a start
    /// function, has `deadline`.
    pub(crate) fn new(plugin: Arc<str>, limits: Arc<CallLimits>, services: Arc<Services>, deadline: Duration) -> Self {
        Self {
            plugin,
            phase: None,
            subject: Subject::default(),
            edits: HeadEdits::default(),
            services,
            memory_bytes: 0,
            computing: ComputeTime::new(deadline),
            carried: Duration::ZERO,
            host_time: host_time(deadline, &limits),
            host_bytes_left: limits.host_bytes,
            limits,
            host_calls: 0,
            edit_bytes: 0,
            edit_count: 0,
            log_lines: 0,
            log_dropped: 0,
        }
    }

    /// Begins a call: its subject, and every bound anew but for that of log lines.
    pub(crate) fn begin(&mut self, phase: Phase, subject: Subject) {
        self.phase = Some(phase);
        // A body is honest work beyond what other hooks do: once in and once out of the guest.
        let body = subject.part.as_ref().map_or(0, |part| part.bytes.len().saturating_add(self.limits.part_bytes));
        self.host_bytes_left = self.limits.host_bytes.saturating_add(body);
        self.subject = subject;
        let carried = std::mem::take(&mut self.carried);
        self.computing = ComputeTime::new(self.limits.deadline.saturating_sub(carried));
        self.edits = HeadEdits::default();
        self.host_time = host_time(self.limits.deadline, &self.limits);
        self.host_calls = 0;
        self.edit_bytes = 0;
        self.edit_count = 0;
    }

    /// What the guest computed so far is time of the call that begins next: a request that had the instance made pays for it.
    pub(crate) fn carry(&mut self) {
        self.carried = self.computing.spent();
    }

    /// Ends a call. Nothing of it stays here.
    pub(crate) fn leave(&mut self) -> Left {
        Left { edits: std::mem::take(&mut self.edits), subject: std::mem::take(&mut self.subject) }
    }

    /// What the call is made with.
    pub(crate) fn context(&self) -> Result<&Context, Stop> {
        self.subject.context.as_ref().ok_or(Stop::NotHere("context"))
    }

    /// The most memory that the instance had so far, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// The limits of the plugin.
    pub(crate) fn limits(&self) -> &CallLimits {
        &self.limits
    }

    /// Counts one call of a host function, to which the guest passed `bytes`. Every host function begins with it.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Stop> {
        if self.phase.is_none() {
            return Err(Stop::NotHere("configure may not call the host"));
        }
        self.charge_anywhere(bytes)
    }

    /// The same where there may be no call: what stands in for WASI answers while a plugin is configured too.
    pub(crate) fn charge_anywhere(&mut self, bytes: usize) -> Result<(), Stop> {
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

    /// Reads something from outside. Every function of a pure interface reads by it, so that a trace misses nothing.
    pub(crate) fn look(&mut self, read: &Read<'_>) -> Result<Value<'_>, Stop> {
        let found = self.subject.facts().find(read).ok_or(Stop::NotHere("no such attribute"))?;
        if let Some(tracer) = &self.subject.tracer {
            tracer.note(read, &found);
        }
        self.host_bytes_left = self.host_bytes_left.checked_sub(found.len()).ok_or(Stop::HostCalls)?;
        Ok(found)
    }

    /// Counts for how long the guest ran since it last yielded, and yields again. `resumed`: when it went on, if it did.
    pub(crate) fn tick(&mut self, resumed: Option<Instant>) -> Result<(), Stop> {
        if let Some(at) = resumed {
            self.computing.resume(at);
        }
        let now = Instant::now();
        let within = self.computing.pause(now);
        if self.host_time.pause(now) && within { Ok(()) } else { Err(Stop::Deadline) }
    }

    /// Notes that the guest yields.
    pub(crate) fn pause(&mut self) -> Result<(), Stop> {
        if self.host_time.pause(Instant::now()) { Ok(()) } else { Err(Stop::Deadline) }
    }

    /// Waits for the host's own work, which is no time of the guest's.
    pub(crate) async fn wait<T>(&mut self, work: Wait<'_, T>) -> Result<T, Stop> {
        self.pause()?;
        let result = work.await;
        let now = Instant::now();
        self.computing.resume(now);
        self.host_time.begin(now);
        Ok(result)
    }

    /// Counts bytes that a host function carries.
    pub(crate) fn charge_bytes(&mut self, bytes: usize) -> Result<(), Stop> {
        let rest = self.host_bytes_left.checked_sub(bytes);
        self.host_bytes_left = rest.unwrap_or_default();
        rest.map(drop).ok_or(Stop::HostCalls)
    }

    /// The head that hooks of this phase may edit.
    fn editable_head(&self) -> Option<Head> {
        match self.phase {
            Some(Phase::Request) => Some(Head::Request),
            Some(Phase::Response) => Some(Head::Response),
            Some(Phase::Trailers) => Some(Head::Trailers),
            _ => None,
        }
    }

    /// The edits of this head that were made so far.
    pub(crate) fn edits_of(&self, head: Head) -> Option<&HeadEdits> {
        (self.editable_head() == Some(head)).then_some(&self.edits)
    }

    /// Notes that a field is to be set.
    pub(crate) fn set_header(&mut self, head: Head, name: &str, value: &[u8]) -> Result<(), Stop> {
        self.check_place(head)?;
        self.charge_edit(name.len() + value.len())?;
        let value = legal_value(name, value).map_err(Stop::BadVerdict)?;
        let name = editable(head, name).map_err(Stop::BadVerdict)?;
        self.edits.push(HeadEdit::Set(name, value));
        Ok(())
    }

    /// Notes that a field is to be removed.
    pub(crate) fn remove_header(&mut self, head: Head, name: &str) -> Result<(), Stop> {
        self.check_place(head)?;
        self.charge_edit(name.len())?;
        let name = editable(head, name).map_err(Stop::BadVerdict)?;
        self.edits.push(HeadEdit::Remove(name));
        Ok(())
    }

    /// Notes that only regions in these legal areas may answer.
    pub(crate) fn restrict_jurisdictions(&mut self, areas: Vec<String>) -> Result<(), Stop> {
        self.check_place(Head::Request)?;
        self.charge_edit(areas.iter().map(String::len).sum())?;
        let areas = legal_areas(areas).map_err(Stop::BadVerdict)?;
        self.edits.push(HeadEdit::Restrict(areas));
        Ok(())
    }

    fn check_place(&self, head: Head) -> Result<(), Stop> {
        if self.editable_head() == Some(head) {
            return Ok(());
        }
        let hook = self.phase.map_or("configure", Phase::hook);
        Err(Stop::BadVerdict(format!("`{hook}` may not edit the {} any more", head.name())))
    }

    /// Whether one more log line may be written.
    pub(crate) fn charge_log_line(&mut self) -> bool {
        let allowed = self.log_lines < self.limits.log_lines && self.services.lines.take(Instant::now());
        if allowed {
            self.log_lines += 1;
        } else {
            self.log_dropped = self.log_dropped.saturating_add(1);
        }
        allowed
    }

    /// Says how many log lines of the plugin were dropped, now and then.
    pub(crate) fn report_dropped_lines(&self) {
        if self.log_dropped == 0 {
            return;
        }
        // Not for each call, or a flood of lines would become a flood of reports.
        if let Some(lines) = self.services.lines.dropped(self.log_dropped, Instant::now()) {
            let plugin = &*self.plugin;
            tracing::warn!(target: "forebay::plugin", plugin, lines, "log lines dropped");
        }
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
        if desired > self.limits.memory_bytes {
            return Err(Stop::Memory.into());
        }
        self.memory_bytes = self.memory_bytes.max(desired);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS { Err(Stop::Memory.into()) } else { Ok(true) }
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        grow_failed(&error)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        grow_failed(&error)
    }
}

/// Growth beyond what a guest declares of itself is an answer that it gets. Where the node has no more, the call ends: a guest
/// that went on would decide by the state of the node.
fn grow_failed(error: &wasmtime::Error) -> wasmtime::Result<()> {
    if is_of_the_node(error) { Err(Stop::Unavailable("memory").into()) } else { Ok(()) }
}

/// What host functions may take. What the guest computes between them is in that time as well.
fn host_time(deadline: Duration, limits: &CallLimits) -> HostTime {
    HostTime::new(deadline.saturating_add(limits.host_time))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::error::Failure;

    fn state(limits: CallLimits) -> CallState {
        let mut state = CallState::new("p".into(), Arc::new(limits), Arc::default(), Duration::ZERO);
        state.begin(Phase::Request, Subject::default());
        state
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
        assert_eq!(state.charge(1), Err(Stop::HostCalls));
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
        assert_eq!(state.log_dropped, 2);
    }

    #[test]
    fn memory_and_tables_end_at_their_limits() {
        let mut state = state(CallLimits { memory_bytes: 1 << 16, ..CallLimits::default() });
        assert!(state.memory_growing(0, 1 << 16, None).is_ok());
        assert!(state.memory_growing(0, 1 << 17, None).is_err());
        assert!(state.table_growing(0, TABLE_ELEMENTS + 1, None).is_err());
    }

    #[test]
    fn growth_that_the_node_cannot_serve_ends_the_call_and_blames_nobody() {
        let mut state = state(CallLimits::default());
        assert!(state.memory_grow_failed(wasmtime::Error::msg("beyond its own maximum")).is_ok());
        for error in [std::io::Error::from_raw_os_error(12).into(), rustix::io::Errno::NOMEM.into()] {
            let ended = state.memory_grow_failed(error).unwrap_err();
            assert!(matches!(crate::call::failure(&ended), Failure::Internal(_)));
        }
    }

    #[test]
    fn what_a_start_function_takes_is_time_of_the_call_that_had_it_made() {
        let deadline = Duration::from_millis(3);
        let limits = Arc::new(CallLimits { deadline, ..CallLimits::default() });
        // A guest of which nobody knows when it went on counts for whole ticks.
        let ticks = |state: &mut CallState| (0..10).take_while(|_| state.tick(None).is_ok()).count();
        for (carried, within) in [(false, 4), (true, 3)] {
            let mut state = CallState::new("p".into(), Arc::clone(&limits), Arc::default(), deadline);
            assert!(state.tick(None).is_ok() && state.tick(None).is_ok());
            if carried {
                state.carry();
            }
            state.begin(Phase::Request, Subject::default());
            assert_eq!(ticks(&mut state), within);
            // Of that call alone.
            state.begin(Phase::Request, Subject::default());
            assert_eq!(ticks(&mut state), 4);
        }
    }

    #[test]
    fn what_an_edit_says_is_told_in_part_and_without_tokens() {
        let mut state = state(CallLimits::default());
        let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        let long = "x".repeat(16 * 1024 - jwt.len() - 8);
        for name in [format!("{jwt} {long}"), format!("a\n{jwt}\n{long}"), format!("forebay-{jwt}")] {
            for value in [&b"1"[..], b"\n"] {
                let Err(stop) = state.set_header(Head::Request, &name, value) else { panic!("{name}") };
                let Failure::BadVerdict(told) = crate::call::failure(&stop.into()) else { panic!("{name}") };
                assert!(told.len() <= 200 && !told.contains("eyJ") && !told.contains('\n'), "{told}");
                state.begin(Phase::Request, Subject::default());
            }
        }
    }
}
