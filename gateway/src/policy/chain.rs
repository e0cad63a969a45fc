//! A route's plugins, run in order.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_http::ProblemType;
use forebay_policy::{
    Answer, Capability, Context, Failure, HeadEdits, IdentityView, Known, Message, Outcome, Phase, Phases, Plugin,
    Recall, RequestView, ResponseView,
};
use forebay_seal::Keyring;
use http::{HeaderMap, StatusCode};
use ring::digest;
use tokio::time::timeout_at;

use super::Policy;
use super::message::{Contents, Keys, Sealable};
use super::shadow::{Compared, Ended};
use super::view::{RequestFacts, ResponseFacts};
use crate::error::Refusal;
use crate::identity::Identity;
use crate::telemetry::metrics::Metrics;

/// How long the plugins may take over a refusal, whose request may have no time left.
const REFUSAL: Duration = Duration::from_secs(1);

/// A route's plugins, in the order they run.
pub(crate) struct Chain {
    policies: Vec<Arc<Policy>>,
    phases: Phases,
    digest: Vec<u8>,
    keyring: Arc<Keyring>,
    metrics: Arc<Metrics>,
}

impl Chain {
    /// A chain of these plugins.
    pub(crate) fn new(policies: Vec<Arc<Policy>>, keyring: Arc<Keyring>, metrics: Arc<Metrics>) -> Self {
        let mut form = digest::Context::new(&digest::SHA256);
        for policy in &policies {
            form.update(policy.plugin.digest().as_bytes());
        }
        let phases = policies.iter().flat_map(|policy| policy.plugin.phases().iter()).collect();
        Self { policies, phases, digest: form.finish().as_ref().to_vec(), keyring, metrics }
    }

    /// Identifies what these plugins do: two chains of the same digest decide alike.
    pub(crate) fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// Whether any plugin has a hook for `phase`.
    pub(crate) fn has(&self, phase: Phase) -> bool {
        self.phases.has(phase)
    }

    /// Whether any plugin seals or opens fields of answers, so that it must see them whole.
    pub(crate) fn looks_into_answers(&self) -> bool {
        self.with(Phase::Return).next().is_some()
            || self.with(Phase::Response).any(|policy| policy.plugin.imports().contains(&Capability::Sealing))
    }

    /// Asks every plugin about the head of a request; their edits are made on `facts`, each seen by the next. What comes
    /// back is what the later hooks are called with.
    ///
    /// # Errors
    /// A plugin answered instead, failed, or the deadline passed. The refusal goes through `on_refusal`, with the context.
    pub(crate) async fn on_request(
        &self,
        facts: RequestFacts,
        identity: &Identity,
        deadline: Instant,
    ) -> Result<(Arc<RequestFacts>, Context), (Refusal, Context)> {
        let mut facts = Arc::new(facts);
        let (who, notes) = (Arc::new(identity.clone()), Arc::default());
        let context_of = |facts: &Arc<RequestFacts>| Context {
            request: Arc::clone(facts) as Arc<dyn RequestView>,
            identity: Arc::clone(&who) as Arc<dyn IdentityView>,
            deadline,
            notes: Arc::clone(&notes),
        };
        let asked = self.ask_each(&mut facts, identity, context_of).await;
        let context = context_of(&facts);
        match asked {
            Ok(()) => Ok((facts, context)),
            Err(refusal) => Err((refusal, context)),
        }
    }

    async fn ask_each(
        &self,
        facts: &mut Arc<RequestFacts>,
        identity: &Identity,
        context_of: impl Fn(&Arc<RequestFacts>) -> Context,
    ) -> Result<(), Refusal> {
        for policy in self.with(Phase::Request) {
            let recall = policy.plugin.recall_request(facts.as_ref(), identity);
            if let (Recall::Known(outcome), None) = (&recall, &policy.shadow) {
                if let Some(edits) = known(policy, outcome)? {
                    Arc::make_mut(facts).edit(edits);
                }
                continue;
            }
            let context = context_of(facts);
            let call = policy.plugin.run_request(&context, recall);
            let beside = |plugin: Plugin, context: Context| async move { plugin.on_request(&context).await };
            let edits = self.run_beside(policy, Phase::Request, &context, call, beside).await?;
            // Nobody else holds the head by now, unless a candidate is still looking at it: then this makes a copy.
            drop(context);
            if !edits.is_empty() {
                Arc::make_mut(facts).edit(&edits);
            }
        }
        Ok(())
    }

    /// Lets the plugins seal what is about to leave the PoP.
    ///
    /// # Errors
    /// As for `on_request`.
    pub(crate) async fn on_forward(&self, contents: Contents, context: &Context) -> Result<Contents, Refusal> {
        self.on_message(Phase::Forward, contents, context).await
    }

    /// Lets the plugins open what came back, before it is stored.
    ///
    /// # Errors
    /// As for `on_request`.
    pub(crate) async fn on_return(&self, contents: Contents, context: &Context) -> Result<Contents, Refusal> {
        self.on_message(Phase::Return, contents, context).await
    }

    async fn on_message(&self, phase: Phase, mut contents: Contents, context: &Context) -> Result<Contents, Refusal> {
        for policy in self.with(phase) {
            let message: Box<dyn Message> = Box::new(self.sealable(contents, policy, context));
            let message = match phase {
                Phase::Forward => {
                    self.run(policy, context.deadline, policy.plugin.on_forward(message, context)).await?
                }
                _ => self.run(policy, context.deadline, policy.plugin.on_return(message, context)).await?,
            };
            contents = sealable_of(message, policy)?.contents;
        }
        Ok(contents)
    }

    /// Shows the plugins what goes to the client: its head, and its contents where fields can be named in them.
    ///
    /// # Errors
    /// As for `on_request`.
    pub(crate) async fn on_response(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
        mut contents: Option<Contents>,
        context: &Context,
    ) -> Result<Option<Shown>, Refusal> {
        let mut touched = false;
        for policy in self.with(Phase::Response) {
            let seen = ResponseFacts { status: status.as_u16(), headers: &*headers };
            let recall =
                policy.plugin.recall_response(&seen, contents.is_some(), &*context.request, &*context.identity);
            if let (Recall::Known(outcome), None) = (&recall, &policy.shadow) {
                if let Some(edits) = known(policy, outcome)? {
                    edits.apply(headers);
                }
                continue;
            }
            let head: Arc<dyn ResponseView> =
                Arc::new(ResponseFacts { status: status.as_u16(), headers: headers.clone() });
            if contents.is_none() {
                let edits = self.on_response_head(policy, head, context, recall).await?;
                edits.apply(headers);
                continue;
            }
            let message =
                contents.take().map(|contents| Box::new(self.sealable(contents, policy, context)) as Box<dyn Message>);
            let call = policy.plugin.run_response(head, message, context, recall);
            let (edits, message): (HeadEdits, _) = self.run(policy, context.deadline, call).await?;
            edits.apply(headers);
            let sealable = message.map(|message| sealable_of(message, policy)).transpose()?;
            touched |= sealable.as_ref().is_some_and(|sealable| sealable.touched);
            contents = sealable.map(|sealable| sealable.contents);
        }
        Ok(contents.map(|contents| Shown { contents, touched }))
    }

    /// Shows the plugins the head of a refusal, so that what they add to every response is there too. It stays a refusal:
    /// a plugin that fails or answers now changes nothing of it.
    pub(crate) async fn on_refusal(&self, status: StatusCode, headers: &mut HeaderMap, context: &Context) {
        let context = Context { deadline: Instant::now() + REFUSAL, ..context.clone() };
        for policy in self.with(Phase::Response) {
            let head = Arc::new(ResponseFacts { status: status.as_u16(), headers: headers.clone() });
            let recall = policy.plugin.recall_response(&*head, false, &*context.request, &*context.identity);
            if let Ok(edits) = self.on_response_head(policy, head, &context, recall).await {
                edits.apply(headers);
            }
        }
    }

    /// The head of a response without contents, which a candidate can be shown too.
    async fn on_response_head(
        &self,
        policy: &Policy,
        head: Arc<dyn ResponseView>,
        context: &Context,
        recall: Recall,
    ) -> Result<HeadEdits, Refusal> {
        let only_head = |ended: Ended<(HeadEdits, Option<Box<dyn Message>>)>| {
            ended.map(|outcome| match outcome {
                Outcome::Continue((edits, _)) => Outcome::Continue(edits),
                Outcome::Answer(answer) => Outcome::Answer(answer),
            })
        };
        let again = Arc::clone(&head);
        let call = async { only_head(policy.plugin.run_response(head, None, context, recall).await) };
        let beside = move |plugin: Plugin, context: Context| async move {
            only_head(plugin.on_response(again, None, &context).await)
        };
        self.run_beside(policy, Phase::Response, context, call, beside).await
    }

    pub(super) fn with(&self, phase: Phase) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.iter().filter(move |policy| policy.plugin.phases().has(phase))
    }

    fn sealable(&self, contents: Contents, policy: &Policy, context: &Context) -> Sealable {
        let tenant = context.identity.tenant().map(str::to_owned);
        let keys = Keys { keyring: Arc::clone(&self.keyring), allowed: Arc::clone(&policy.keys), tenant };
        Sealable { contents, keys, touched: false }
    }

    /// One hook as `run`, and the same of a candidate where the plugin has one.
    pub(super) async fn run_beside<T: Compared, F>(
        &self,
        policy: &Policy,
        phase: Phase,
        context: &Context,
        hook: impl Future<Output = Ended<T>>,
        beside: impl FnOnce(Plugin, Context) -> F,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Ended<T>> + Send + 'static,
    {
        let Some(shadow) = &policy.shadow else {
            return self.run(policy, context.deadline, hook).await;
        };
        let observed = async {
            let ended = hook.await;
            shadow.compare(phase, context, &ended, beside);
            ended
        };
        self.run(policy, context.deadline, observed).await
    }

    /// One hook under the request's deadline; closed on failure.
    pub(super) async fn run<T>(
        &self,
        policy: &Policy,
        deadline: Instant,
        hook: impl Future<Output = Result<Outcome<T>, Failure>>,
    ) -> Result<T, Refusal> {
        let name = policy.plugin.name();
        match timeout_at(deadline.into(), hook).await {
            Err(_) => Err(Refusal::deadline("policy")),
            Ok(Ok(Outcome::Continue(rest))) => Ok(rest),
            Ok(Ok(Outcome::Answer(answer))) => Err(Refusal::by_policy(name, answer)),
            Ok(Err(failure)) => Err(self.failed(policy, &failure)),
        }
    }

    /// The refusal that a failure of a plugin comes to.
    pub(super) fn failed(&self, policy: &Policy, failure: &Failure) -> Refusal {
        let (name, reason) = (policy.plugin.name(), failure.reason());
        if failure.blames_plugin() || *failure == Failure::Quarantined {
            policy.ring_if_quarantined();
        }
        self.metrics.policy_failed(name, reason);
        // Every client can have a plugin fail at every request, and each failure has words of the plugin's own.
        if policy.plugin.may_log_failure() {
            tracing::warn!(plugin = name, reason, %failure, "policy failed; request refused");
        }
        let soon = Duration::from_secs(1);
        match failure {
            Failure::PoolExhausted | Failure::StreamsExhausted => {
                let what = if *failure == Failure::PoolExhausted { "calls" } else { "streams" };
                let detail = format!("policy `{name}` has as many {what} in work as it may");
                Refusal::new(ProblemType::Overloaded, detail).retry_after(soon)
            }
            Failure::Quarantined => Refusal::policy_failed(name, reason).retry_after(soon),
            _ => Refusal::policy_failed(name, reason),
        }
    }
}

/// What a decision that is known without a run comes to: the edits to make, if any.
fn known<'o>(policy: &Policy, known: &'o Known) -> Result<Option<&'o HeadEdits>, Refusal> {
    match known {
        Known::Continue(edits) => Ok(edits.as_deref()),
        Known::Answer(answer) => Err(Refusal::by_policy(policy.plugin.name(), Answer::clone(answer))),
    }
}

/// Contents that plugins saw on their way to the client.
pub(crate) struct Shown {
    /// As they left them.
    pub(crate) contents: Contents,
    /// Whether any of them sealed or opened something.
    pub(crate) touched: bool,
}

/// A message comes back as the type that went in; anything else means the sandbox lost it.
fn sealable_of(message: Box<dyn Message>, policy: &Policy) -> Result<Sealable, Refusal> {
    match message.into_any().downcast::<Sealable>() {
        Ok(sealable) => Ok(*sealable),
        Err(_) => Err(Refusal::policy_failed(policy.plugin.name(), "message-lost")),
    }
}
