//! A loaded plugin and its hooks.

use std::collections::BTreeSet;
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lower, Resource};

use crate::bindings::types::Verdict;
use crate::call;
use crate::capability::Capability;
use crate::edits::HeadEdits;
use crate::engine::Shared;
use crate::error::Failure;
use crate::gate::Gate;
use crate::host::{MessageHandle, RequestHandle, ResponseHandle, THE_ONE};
use crate::limits::CallLimits;
use crate::phase::{Phase, Phases};
use crate::state::{CallState, Subject};
use crate::verdict::{Outcome, check};
use crate::views::{IdentityView, Message, RequestView, ResponseView};

/// A plugin that was compiled, checked and configured. Cheap to clone; calls may run at once on any threads,
/// and none sees another.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) name: Arc<str>,
    pub(crate) digest: String,
    pub(crate) imports: BTreeSet<Capability>,
    pub(crate) limits: Arc<CallLimits>,
    pub(crate) pre: InstancePre<CallState>,
    pub(crate) hooks: Hooks,
    pub(crate) gate: Gate,
    /// Keeps the clock running.
    pub(crate) shared: Arc<Shared>,
}

/// Where the hooks are among the component's exports.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) request: Option<ComponentExportIndex>,
    pub(crate) forward: Option<ComponentExportIndex>,
    pub(crate) r#return: Option<ComponentExportIndex>,
    pub(crate) response: Option<ComponentExportIndex>,
}

impl Hooks {
    pub(crate) fn phases(&self) -> Phases {
        Phases {
            request: self.request.is_some(),
            forward: self.forward.is_some(),
            r#return: self.r#return.is_some(),
            response: self.response.is_some(),
        }
    }
}

/// What `on-request` is called about.
pub struct RequestCall {
    /// The head of the request.
    pub request: Arc<dyn RequestView>,
    /// Who is asking.
    pub identity: Arc<dyn IdentityView>,
}

/// How a hook ended: with an answer, or with the state that it leaves for the caller.
type Ended = Outcome<CallState>;

impl Plugin {
    /// The name from the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// SHA-256 over the component and its configuration, in hexadecimal: two plugins with the same digest
    /// decide alike.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// The interfaces of which the component imports functions: all that it can do.
    #[must_use]
    pub fn imports(&self) -> &BTreeSet<Capability> {
        &self.inner.imports
    }

    /// The phases that it has hooks for.
    #[must_use]
    pub fn phases(&self) -> Phases {
        self.inner.hooks.phases()
    }

    /// Calls `on-request`. A plugin without that hook continues without edits, at no cost; so do the others.
    ///
    /// # Errors
    /// A call that ended without a valid verdict; its edits are gone.
    pub async fn on_request(&self, call: RequestCall) -> Result<Outcome<HeadEdits>, Failure> {
        let Some(hook) = &self.inner.hooks.request else {
            return Ok(Outcome::Continue(HeadEdits::default()));
        };
        let subject = Subject { request: Some(call.request), identity: Some(call.identity), ..Subject::default() };
        let request = Resource::<RequestHandle>::new_borrow(THE_ONE);
        let ended = self.call(Phase::Request, hook, subject, (request,)).await?;
        Ok(map(ended, |state| state.edits))
    }

    /// Calls `on-forward` for a message that is about to leave the PoP, and gives it back as the hook left it.
    ///
    /// # Errors
    /// A call that ended without a valid verdict. The message is gone with it, since parts of it may be
    /// sealed and others not.
    pub async fn on_forward(
        &self,
        message: Box<dyn Message>,
        identity: Arc<dyn IdentityView>,
    ) -> Result<Outcome<Box<dyn Message>>, Failure> {
        self.on_message(Phase::Forward, self.inner.hooks.forward.as_ref(), message, identity).await
    }

    /// Calls `on-return` for the answer to a message, before it is stored. As [`Plugin::on_forward`].
    ///
    /// # Errors
    /// As [`Plugin::on_forward`].
    pub async fn on_return(
        &self,
        message: Box<dyn Message>,
        identity: Arc<dyn IdentityView>,
    ) -> Result<Outcome<Box<dyn Message>>, Failure> {
        self.on_message(Phase::Return, self.inner.hooks.r#return.as_ref(), message, identity).await
    }

    /// Calls `on-response` for what is about to go to the client.
    ///
    /// # Errors
    /// A call that ended without a valid verdict; its edits and the message are gone.
    pub async fn on_response(
        &self,
        head: Arc<dyn ResponseView>,
        message: Option<Box<dyn Message>>,
        identity: Arc<dyn IdentityView>,
    ) -> Result<Outcome<(HeadEdits, Option<Box<dyn Message>>)>, Failure> {
        let Some(hook) = &self.inner.hooks.response else {
            return Ok(Outcome::Continue((HeadEdits::default(), message)));
        };
        let handle = message.as_ref().map(|_| Resource::<MessageHandle>::new_borrow(THE_ONE));
        let subject = Subject { response: Some(head), identity: Some(identity), message, ..Subject::default() };
        let response = Resource::<ResponseHandle>::new_borrow(THE_ONE);
        let ended = self.call(Phase::Response, hook, subject, (response, handle)).await?;
        Ok(map(ended, |state| (state.edits, state.subject.message)))
    }

    async fn on_message(
        &self,
        phase: Phase,
        hook: Option<&ComponentExportIndex>,
        message: Box<dyn Message>,
        identity: Arc<dyn IdentityView>,
    ) -> Result<Outcome<Box<dyn Message>>, Failure> {
        let Some(hook) = hook else {
            return Ok(Outcome::Continue(message));
        };
        let subject = Subject { message: Some(message), identity: Some(identity), ..Subject::default() };
        let handle = Resource::<MessageHandle>::new_borrow(THE_ONE);
        match self.call(phase, hook, subject, (handle,)).await? {
            Outcome::Answer(answer) => Ok(Outcome::Answer(answer)),
            Outcome::Continue(state) => match state.subject.message {
                Some(message) => Ok(Outcome::Continue(message)),
                None => Err(Failure::Internal("the message was lost".to_owned())),
            },
        }
    }

    /// Calls a hook unless the gate is closed.
    async fn call<P>(
        &self,
        phase: Phase,
        hook: &ComponentExportIndex,
        subject: Subject,
        params: P,
    ) -> Result<Ended, Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync,
    {
        let entered = self.inner.gate.enter()?;
        let result = self.call_inside(phase, hook, subject, params).await;
        entered.ended(&result);
        result
    }

    async fn call_inside<P>(
        &self,
        phase: Phase,
        hook: &ComponentExportIndex,
        subject: Subject,
        params: P,
    ) -> Result<Ended, Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync,
    {
        let inner = &*self.inner;
        let state = CallState::new(Arc::clone(&inner.name), Some(phase), subject, Arc::clone(&inner.limits));
        let mut store = call::store(&inner.shared.engine, state, inner.limits.deadline);
        let result = call::hook::<P, (Verdict,)>(&mut store, &inner.pre, hook, params).await;
        let state = store.into_data();
        if state.log_dropped() > 0 {
            tracing::warn!(target: "forebay::plugin", plugin = &*inner.name, lines = state.log_dropped(), "log lines dropped");
        }
        let (verdict,) = result?;
        Ok(check(verdict)?.map_or(Outcome::Continue(state), Outcome::Answer))
    }
}

fn map<T>(ended: Ended, rest: impl FnOnce(CallState) -> T) -> Outcome<T> {
    match ended {
        Outcome::Continue(state) => Outcome::Continue(rest(state)),
        Outcome::Answer(answer) => Outcome::Answer(answer),
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.inner.name)
            .field("digest", &self.inner.digest)
            .field("imports", &self.inner.imports)
            .field("phases", &self.phases())
            .finish_non_exhaustive()
    }
}
