//! Stages `policy: request` and `policy: response`, and the two crossings of the PoP's border between them.
//!
//! A chain runs a route's plugins in order. Each hook gets a fresh sandbox; any failure refuses the request and names
//! the plugin. What plugins ask about is answered by `view` and `message`: they see claims, never tokens, and name
//! keys, never hold them.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_http::ProblemType;
use forebay_oip::{InferRequest, InferResponse};
use forebay_policy::{
    Capability, Failure, HeadEdits, IdentityView, Message, Outcome, Phase, Plugin, RequestCall, RequestView,
    ResponseView,
};
use forebay_seal::Keyring;
use http::{HeaderMap, StatusCode};
use ring::digest;
use tokio::time::timeout_at;

pub(crate) mod json_body;
pub(crate) mod message;
mod strict_json;
pub(crate) mod view;

use crate::error::Refusal;
use crate::identity::Identity;
use crate::telemetry::metrics::Metrics;
use message::{Contents, Keys, Sealable};
use view::{RequestFacts, ResponseFacts};

/// A plugin and the keys it may name.
pub(crate) struct Policy {
    /// The loaded component.
    pub(crate) plugin: Plugin,
    /// Names of keys.
    pub(crate) keys: Arc<BTreeSet<String>>,
}

/// A route's plugins, in the order they run.
pub(crate) struct Chain {
    policies: Vec<Arc<Policy>>,
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
        Self { policies, digest: form.finish().as_ref().to_vec(), keyring, metrics }
    }

    /// Identifies what these plugins do: two chains of the same digest decide alike.
    pub(crate) fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// Whether any plugin has a hook for `phase`.
    pub(crate) fn has(&self, phase: Phase) -> bool {
        self.policies.iter().any(|policy| policy.plugin.phases().has(phase))
    }

    /// Whether any plugin seals or opens fields of answers, so that it must see them whole.
    pub(crate) fn looks_into_answers(&self) -> bool {
        self.with(Phase::Return).next().is_some()
            || self.with(Phase::Response).any(|policy| policy.plugin.imports().contains(&Capability::Sealing))
    }

    /// Asks every plugin about the head of a request; their edits are made on `facts`, each seen by the next.
    ///
    /// # Errors
    /// A plugin answered instead, failed, or the deadline passed.
    pub(crate) async fn on_request(
        &self,
        mut facts: RequestFacts,
        identity: &Identity,
        deadline: Instant,
    ) -> Result<RequestFacts, Refusal> {
        for policy in self.with(Phase::Request) {
            let shared = Arc::new(facts);
            let request: Arc<dyn RequestView> = Arc::clone(&shared) as Arc<dyn RequestView>;
            let call = RequestCall { request, identity: as_view(identity) };
            let edits = self.run(policy, deadline, policy.plugin.on_request(call)).await?;
            facts = Arc::try_unwrap(shared).unwrap_or_else(|shared| shared.as_ref().clone());
            edits.apply(&mut facts.headers);
        }
        Ok(facts)
    }

    /// Lets the plugins seal what is about to leave the PoP.
    ///
    /// # Errors
    /// As for `on_request`.
    pub(crate) async fn on_forward(
        &self,
        contents: Contents,
        identity: &Identity,
        deadline: Instant,
    ) -> Result<Contents, Refusal> {
        self.on_message(Phase::Forward, contents, identity, deadline).await
    }

    /// Lets the plugins open what came back, before it is stored.
    ///
    /// # Errors
    /// As for `on_request`.
    pub(crate) async fn on_return(
        &self,
        contents: Contents,
        identity: &Identity,
        deadline: Instant,
    ) -> Result<Contents, Refusal> {
        self.on_message(Phase::Return, contents, identity, deadline).await
    }

    async fn on_message(
        &self,
        phase: Phase,
        mut contents: Contents,
        identity: &Identity,
        deadline: Instant,
    ) -> Result<Contents, Refusal> {
        for policy in self.with(phase) {
            let message: Box<dyn Message> = Box::new(self.sealable(contents, policy, identity));
            let identity = as_view(identity);
            let message = match phase {
                Phase::Forward => self.run(policy, deadline, policy.plugin.on_forward(message, identity)).await?,
                _ => self.run(policy, deadline, policy.plugin.on_return(message, identity)).await?,
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
        identity: &Identity,
        deadline: Instant,
    ) -> Result<Option<Shown>, Refusal> {
        let mut touched = false;
        for policy in self.with(Phase::Response) {
            let head: Arc<dyn ResponseView> =
                Arc::new(ResponseFacts { status: status.as_u16(), headers: headers.clone() });
            let message =
                contents.take().map(|contents| Box::new(self.sealable(contents, policy, identity)) as Box<dyn Message>);
            let call = policy.plugin.on_response(head, message, as_view(identity));
            let (edits, message): (HeadEdits, _) = self.run(policy, deadline, call).await?;
            edits.apply(headers);
            let sealable = message.map(|message| sealable_of(message, policy)).transpose()?;
            touched |= sealable.as_ref().is_some_and(|sealable| sealable.touched);
            contents = sealable.map(|sealable| sealable.contents);
        }
        Ok(contents.map(|contents| Shown { contents, touched }))
    }

    fn with(&self, phase: Phase) -> impl Iterator<Item = &Policy> {
        self.policies.iter().map(Arc::as_ref).filter(move |policy| policy.plugin.phases().has(phase))
    }

    fn sealable(&self, contents: Contents, policy: &Policy, identity: &Identity) -> Sealable {
        let tenant = identity.tenant().map(str::to_owned);
        let keys = Keys { keyring: Arc::clone(&self.keyring), allowed: Arc::clone(&policy.keys), tenant };
        Sealable { contents, keys, touched: false }
    }

    /// One hook under the request's deadline; closed on failure.
    async fn run<T>(
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
            Ok(Err(failure)) => {
                self.metrics.policy_failed(name, failure.reason());
                tracing::warn!(plugin = name, reason = failure.reason(), %failure, "policy failed; request refused");
                Err(match failure {
                    Failure::PoolExhausted => Refusal::new(
                        ProblemType::Overloaded,
                        format!("policy `{name}` has as many calls in work as it may"),
                    )
                    .retry_after(Duration::from_secs(1)),
                    Failure::Quarantined => {
                        Refusal::policy_failed(name, failure.reason()).retry_after(Duration::from_secs(1))
                    }
                    failure => Refusal::policy_failed(name, failure.reason()),
                })
            }
        }
    }
}

fn as_view(identity: &Identity) -> Arc<dyn IdentityView> {
    Arc::new(identity.clone())
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

/// Contents as an inference again.
///
/// # Errors
/// They are something else, which would be our own mistake: the request is refused.
pub(crate) fn into_request(contents: Contents) -> Result<InferRequest, Refusal> {
    match contents {
        Contents::Request { request, .. } => Ok(request),
        _ => Err(lost()),
    }
}

/// Contents as an answer again.
///
/// # Errors
/// As for `into_request`.
pub(crate) fn into_response(contents: Contents) -> Result<InferResponse, Refusal> {
    match contents {
        Contents::Response { response, .. } => Ok(response),
        _ => Err(lost()),
    }
}

/// Contents as the bytes of a JSON body again.
///
/// # Errors
/// As for `into_request`.
pub(crate) fn into_json(contents: Contents) -> Result<Bytes, Refusal> {
    match contents {
        Contents::Json(body) => Ok(body.into_bytes()),
        _ => Err(lost()),
    }
}

fn lost() -> Refusal {
    Refusal::new(ProblemType::Internal, "this request could not be processed").because("message changed its kind")
}
