//! A body as it streams: one instance that sees every part of it and is gone with it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use wasmtime::Store;
use wasmtime::component::Resource;

use crate::call;
use crate::context::{Context, Part};
use crate::error::Failure;
use crate::gate::Entered;
use crate::host::THE_ONE;
use crate::phase::{Phase, Side};
use crate::plugin::{Inner, OnPart, Plugin};
use crate::ready::{Fresh, Hook, Params};
use crate::state::{CallState, Subject};
use crate::verdict::{Outcome, check};

/// A plugin's instance for one body. It holds one of the plugin's places in the pool until it is dropped.
///
/// Each part gets the computing time, host calls and bytes of a call; memory and log lines are for the whole body.
pub struct BodyStream {
    inner: Arc<Inner>,
    context: Context,
    phase: Phase,
    /// None once the body ended or the plugin failed, or in the middle of a part that was given up: nothing is called any more.
    instance: Option<(Store<CallState>, Hook)>,
    entered: Option<Entered>,
}

impl Plugin {
    /// An instance for a body of that side. None: the plugin has no hook for its parts.
    ///
    /// # Errors
    /// There is no place for it, or it is quarantined.
    pub async fn stream(&self, side: Side, context: Context) -> Result<Option<BodyStream>, Failure> {
        let phase = Phase::chunk(side);
        if !self.phases().has(phase) {
            return Ok(None);
        }
        let entered = self.inner.gate.enter_stream(phase)?;
        match self.inner.ready.take(phase).await {
            Ok(Fresh { store, hook }) => {
                let inner = Arc::clone(&self.inner);
                Ok(Some(BodyStream { inner, context, phase, instance: Some((store, hook)), entered: Some(entered) }))
            }
            Err(failure) => {
                entered.ended(&Err::<(), _>(failure.clone()));
                Err(failure)
            }
        }
    }
}

impl BodyStream {
    /// Until when the plugin may wait for others in the next parts.
    pub fn wait_until(&mut self, deadline: Instant) {
        self.context.deadline = deadline;
    }

    /// Shows the plugin the next part, and gives it back as the hook left it. Parts come in order; none follows one
    /// that is `last`, an answer or a failure.
    ///
    /// # Errors
    /// A call that ended without a valid verdict. What was given back before stands.
    pub async fn part(&mut self, part: Part) -> Result<Outcome<Bytes>, Failure> {
        // Put back when the part is done: one that is given up midway leaves no instance that is half in a call.
        let Some((mut store, hook)) = self.instance.take() else {
            return Err(Failure::Internal("a part after the end of its body".to_owned()));
        };
        let last = part.last;
        let result = self.call(&mut store, &hook, part).await;
        if !last && matches!(result, Ok(Outcome::Continue(_))) {
            self.instance = Some((store, hook));
            if let Some(entered) = &mut self.entered {
                entered.goes_well();
            }
            return result;
        }
        store.data().report_dropped_lines();
        // Before its place among the plugin's is free.
        drop(store);
        if let Some(entered) = self.entered.take() {
            entered.ended(&result);
        }
        result
    }

    async fn call(&mut self, store: &mut Store<CallState>, hook: &Hook, part: Part) -> Result<Outcome<Bytes>, Failure> {
        let subject = Subject { context: Some(self.context.clone()), part: Some(part), ..Subject::default() };
        let mut bill = self.inner.bill(self.phase, &subject);
        store.data_mut().begin(self.phase, subject);
        let params: OnPart = (Resource::new_borrow(THE_ONE),);
        let result = bill.time(call::hook(store, OnPart::function(hook)?, params)).await;
        bill.memory(store.data().memory_bytes());
        let (verdict,) = result?;
        let subject = std::mem::take(&mut store.data_mut().subject);
        let bytes = subject.part.map(|part| part.bytes).unwrap_or_default();
        Ok(check(verdict)?.map_or(Outcome::Continue(bytes), Outcome::Answer))
    }
}

impl Drop for BodyStream {
    fn drop(&mut self) {
        if let Some((store, _)) = &self.instance {
            store.data().report_dropped_lines();
        }
    }
}

impl std::fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyStream")
            .field("plugin", &self.inner.name)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
