//! A loaded plugin and its hooks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use wasmtime::component::{ComponentExportIndex, Resource};

use crate::bill::Bill;
use crate::bindings::body::Side as WitSide;
use crate::call;
use crate::capability::Capability;
use crate::context::{Context, Part};
use crate::edits::HeadEdits;
use crate::engine::Shared;
use crate::error::Failure;
use crate::facts::{Read, Value};
use crate::gate::Gate;
use crate::host::{MessageHandle, PartHandle, RequestHandle, ResponseHandle, THE_ONE, TrailersHandle};
use crate::phase::{Phase, Phases, Side};
use crate::ready::{Fresh, Params, Ready, Recipe};
use crate::recall::{Memory, Recall};
use crate::services::{LogLines, Services};
use crate::state::{Left, Subject};
use crate::trace::Tracer;
use crate::verdict::{Outcome, check};
use crate::views::{Message, ResponseView};

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
    /// WASI interfaces, with nothing behind them.
    pub(crate) stubbed: Vec<String>,
    pub(crate) ready: Arc<Ready>,
    pub(crate) gate: Arc<Gate>,
    /// How often its failures are told.
    pub(crate) failures: Arc<LogLines>,
    pub(crate) memory: Arc<Memory>,
    /// Keeps the clock running.
    pub(crate) shared: Arc<Shared>,
}

// What hooks are called with, as wasmtime reads it.
pub(crate) type OnRequest = (Resource<RequestHandle>,);
pub(crate) type OnMessage = (Resource<MessageHandle>,);
pub(crate) type OnResponse = (Resource<ResponseHandle>, Option<Resource<MessageHandle>>);
pub(crate) type OnPart = (Resource<PartHandle>,);
pub(crate) type OnTrailers = (WitSide, Resource<TrailersHandle>);

/// Where the hooks are among the component's exports.
#[derive(Clone)]
pub(crate) struct Hooks([Option<ComponentExportIndex>; Phase::ALL.len()]);

impl Hooks {
    pub(crate) fn find(find: impl Fn(Phase) -> Option<ComponentExportIndex>) -> Self {
        Self(Phase::ALL.map(find))
    }

    pub(crate) fn get(&self, phase: Phase) -> Option<&ComponentExportIndex> {
        self.0.get(phase as usize)?.as_ref()
    }

    pub(crate) fn phases(&self) -> Phases {
        Phase::ALL.into_iter().filter(|phase| self.get(*phase).is_some()).collect()
    }
}

/// How a hook ended: with an answer, or with the state that it leaves for the caller.
type Ended = Outcome<Left>;

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

    /// The WASI interfaces that the component imports beside. They give no power: nothing is behind them.
    #[must_use]
    pub fn stubbed(&self) -> &[String] {
        &self.inner.stubbed
    }

    /// How many fresh instances of it wait for their call.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.inner.ready.waiting()
    }

    /// The phases that it has hooks for.
    #[must_use]
    pub fn phases(&self) -> Phases {
        self.inner.ready.recipe.hooks.phases()
    }

    /// Whether it is not called for a while, since it failed again and again.
    #[must_use]
    pub fn is_quarantined(&self) -> bool {
        self.inner.gate.is_quarantined()
    }

    /// Whether some call of it ended with a verdict, and it is not in quarantine: a version to go back to.
    #[must_use]
    pub fn served_well(&self) -> bool {
        self.inner.gate.served_well()
    }

    /// Whether one more failure of it may be logged now: a plugin that fails at every request must not flood the log. How many
    /// were not is logged now and then. Metrics count them all.
    #[must_use]
    pub fn may_log_failure(&self) -> bool {
        let now = Instant::now();
        let allowed = self.inner.failures.take(now);
        if !allowed && let Some(failures) = self.inner.failures.dropped(1, now) {
            tracing::warn!(plugin = self.name(), failures, "failures of a plugin that were not logged one by one");
        }
        allowed
    }

    /// Calls `on-request`. A plugin without that hook continues without edits, at no cost; so do the others.
    ///
    /// # Errors
    /// A call that ended without a valid verdict; its edits are gone.
    pub async fn on_request(&self, context: &Context) -> Result<Outcome<HeadEdits>, Failure> {
        self.run_request(context, self.recall_request(&*context.request, &*context.identity)).await
    }

    /// Calls `on-request` unless [`Plugin::recall_request`] knew what it decides.
    ///
    /// # Errors
    /// As for [`Plugin::on_request`].
    pub async fn run_request(&self, context: &Context, recall: Recall) -> Result<Outcome<HeadEdits>, Failure> {
        let unknown = match recall {
            Recall::Known(known) => return Ok(known.into_outcome()),
            Recall::Unknown(unknown) => unknown,
        };
        let tracer = unknown.tracer();
        let outcome = self.decide_request(context, tracer.clone()).await?;
        if let Some(tracer) = tracer {
            self.learn(Phase::Request, unknown, &tracer, &outcome);
        }
        Ok(outcome)
    }

    pub(crate) async fn decide_request(
        &self,
        context: &Context,
        tracer: Option<Tracer>,
    ) -> Result<Outcome<HeadEdits>, Failure> {
        let params: OnRequest = (Resource::new_borrow(THE_ONE),);
        let subject = Subject { tracer, ..Subject::default() };
        match self.call(Phase::Request, context, subject, params).await? {
            None => Ok(Outcome::Continue(HeadEdits::default())),
            Some(ended) => Ok(map(ended, |state| state.edits)),
        }
    }

    /// Calls `on-request-body` or `on-response-body` for a whole body, and gives it back as the hook left it.
    ///
    /// # Errors
    /// As for [`Plugin::on_request`].
    pub async fn on_body(&self, part: Part, context: &Context) -> Result<Outcome<Bytes>, Failure> {
        let (phase, bytes) = (Phase::body(part.side), part.bytes.clone());
        let params: OnPart = (Resource::new_borrow(THE_ONE),);
        let subject = Subject { part: Some(part), ..Subject::default() };
        match self.call(phase, context, subject, params).await? {
            None => Ok(Outcome::Continue(bytes)),
            Some(ended) => Ok(map(ended, |state| state.subject.part.map(|part| part.bytes).unwrap_or_default())),
        }
    }

    /// Calls `on-forward` for a message that is about to leave the PoP, and gives it back as the hook left it.
    ///
    /// # Errors
    /// A call that ended without a valid verdict. The message is gone with it, since parts of it may be
    /// sealed and others not.
    pub async fn on_forward(
        &self,
        message: Box<dyn Message>,
        context: &Context,
    ) -> Result<Outcome<Box<dyn Message>>, Failure> {
        self.on_message(Phase::Forward, message, context).await
    }

    /// Calls `on-return` for the answer to a message, before it is stored. As [`Plugin::on_forward`].
    ///
    /// # Errors
    /// As [`Plugin::on_forward`].
    pub async fn on_return(
        &self,
        message: Box<dyn Message>,
        context: &Context,
    ) -> Result<Outcome<Box<dyn Message>>, Failure> {
        self.on_message(Phase::Return, message, context).await
    }

    /// Calls `on-response` for what is about to go to the client.
    ///
    /// # Errors
    /// A call that ended without a valid verdict; its edits and the message are gone.
    pub async fn on_response(
        &self,
        head: Arc<dyn ResponseView>,
        message: Option<Box<dyn Message>>,
        context: &Context,
    ) -> Result<Outcome<(HeadEdits, Option<Box<dyn Message>>)>, Failure> {
        let recall = self.recall_response(&*head, message.is_some(), &*context.request, &*context.identity);
        self.run_response(head, message, context, recall).await
    }

    /// Calls `on-response` unless [`Plugin::recall_response`] knew what it decides.
    ///
    /// # Errors
    /// As for [`Plugin::on_response`].
    pub async fn run_response(
        &self,
        head: Arc<dyn ResponseView>,
        message: Option<Box<dyn Message>>,
        context: &Context,
        recall: Recall,
    ) -> Result<Outcome<(HeadEdits, Option<Box<dyn Message>>)>, Failure> {
        let unknown = match recall {
            Recall::Known(known) => {
                return Ok(match known.into_outcome() {
                    Outcome::Continue(edits) => Outcome::Continue((edits, message)),
                    Outcome::Answer(answer) => Outcome::Answer(answer),
                });
            }
            Recall::Unknown(unknown) => unknown,
        };
        let tracer = unknown.tracer();
        let outcome = self.decide_response(head, message, context, tracer.clone()).await?;
        if let Some(tracer) = tracer {
            let decided = match &outcome {
                Outcome::Continue((edits, _)) => Outcome::Continue(edits.clone()),
                Outcome::Answer(answer) => Outcome::Answer(answer.clone()),
            };
            self.learn(Phase::Response, unknown, &tracer, &decided);
        }
        Ok(outcome)
    }

    pub(crate) async fn decide_response(
        &self,
        head: Arc<dyn ResponseView>,
        message: Option<Box<dyn Message>>,
        context: &Context,
        tracer: Option<Tracer>,
    ) -> Result<Outcome<(HeadEdits, Option<Box<dyn Message>>)>, Failure> {
        if !self.phases().has(Phase::Response) {
            return Ok(Outcome::Continue((HeadEdits::default(), message)));
        }
        if let Some(tracer) = &tracer {
            // A parameter of the hook, so a guest knows it without asking.
            tracer.note(&Read::MessagePresent, &Value::Flag(message.is_some()));
        }
        let handle = message.as_ref().map(|_| Resource::new_borrow(THE_ONE));
        let params: OnResponse = (Resource::new_borrow(THE_ONE), handle);
        let subject = Subject { response: Some(head), message, tracer, ..Subject::default() };
        match self.call(Phase::Response, context, subject, params).await? {
            None => Ok(Outcome::Continue((HeadEdits::default(), None))),
            Some(ended) => Ok(map(ended, |state| (state.edits, state.subject.message))),
        }
    }

    /// Calls `on-trailers`.
    ///
    /// # Errors
    /// As for [`Plugin::on_request`].
    pub async fn on_trailers(
        &self,
        side: Side,
        trailers: Arc<HeaderMap>,
        context: &Context,
    ) -> Result<Outcome<HeadEdits>, Failure> {
        let params: OnTrailers = (side.into(), Resource::new_borrow(THE_ONE));
        let subject = Subject { trailers: Some(trailers), ..Subject::default() };
        match self.call(Phase::Trailers, context, subject, params).await? {
            None => Ok(Outcome::Continue(HeadEdits::default())),
            Some(ended) => Ok(map(ended, |state| state.edits)),
        }
    }

    async fn on_message(
        &self,
        phase: Phase,
        message: Box<dyn Message>,
        context: &Context,
    ) -> Result<Outcome<Box<dyn Message>>, Failure> {
        if !self.phases().has(phase) {
            return Ok(Outcome::Continue(message));
        }
        let params: OnMessage = (Resource::new_borrow(THE_ONE),);
        let subject = Subject { message: Some(message), ..Subject::default() };
        match self.call(phase, context, subject, params).await? {
            Some(Outcome::Answer(answer)) => Ok(Outcome::Answer(answer)),
            Some(Outcome::Continue(Left { subject: Subject { message: Some(message), .. }, .. })) => {
                Ok(Outcome::Continue(message))
            }
            _ => Err(Failure::Internal("the message was lost".to_owned())),
        }
    }

    /// Calls a hook in a fresh instance, unless the gate is closed. None: there is no such hook.
    async fn call<P>(
        &self,
        phase: Phase,
        context: &Context,
        subject: Subject,
        params: P,
    ) -> Result<Option<Ended>, Failure>
    where
        P: Params,
    {
        if self.inner.ready.recipe.hooks.get(phase).is_none() {
            return Ok(None);
        }
        let entered = self.inner.gate.enter(phase)?;
        let subject = Subject { context: Some(context.clone()), ..subject };
        // On the heap: what a run needs would else lie in the future of every request, run or not.
        let result = Box::pin(self.inner.call(phase, subject, params)).await;
        entered.ended(&result);
        result.map(Some)
    }
}

impl Inner {
    /// The same plugin with other services: what it learnt and how it fared live on.
    pub(crate) fn with_services(&self, services: Services) -> Self {
        let recipe = Recipe { services: Arc::new(services), ..self.ready.recipe.clone() };
        let most = recipe.limits.ready;
        Self {
            name: Arc::clone(&self.name),
            digest: self.digest.clone(),
            imports: self.imports.clone(),
            stubbed: self.stubbed.clone(),
            ready: Arc::new(Ready::new(recipe, Arc::clone(&self.gate), &self.shared, most)),
            gate: Arc::clone(&self.gate),
            failures: Arc::clone(&self.failures),
            memory: Arc::clone(&self.memory),
            shared: Arc::clone(&self.shared),
        }
    }

    async fn call<P>(&self, phase: Phase, subject: Subject, params: P) -> Result<Ended, Failure>
    where
        P: Params,
    {
        let mut bill = self.bill(phase, &subject);
        let work = async {
            let Fresh { mut store, hook } = self.ready.take(phase).await?;
            store.data_mut().begin(phase, subject);
            let result = call::hook(&mut store, P::function(&hook)?, params).await;
            let state = store.data_mut();
            state.report_dropped_lines();
            let (left, memory_bytes) = (state.leave(), state.memory_bytes());
            if result.is_ok() {
                self.ready.hand_back(phase, store);
            }
            Ok((result, left, memory_bytes))
        };
        let (result, left, memory_bytes) = bill.time(work).await?;
        bill.memory(memory_bytes);
        let (verdict,) = result?;
        Ok(check(verdict)?.map_or(Outcome::Continue(left), Outcome::Answer))
    }

    pub(crate) fn bill(&self, phase: Phase, subject: &Subject) -> Bill {
        let identity = subject.context.as_ref().map(|context| &context.identity);
        Bill::new(self.ready.recipe.services.meter.as_ref(), identity, phase)
    }
}

fn map<T>(ended: Ended, rest: impl FnOnce(Left) -> T) -> Outcome<T> {
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
