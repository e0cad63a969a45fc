//! A loaded component, and a request to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use forebay_http::Body;
use http::{Request, Response};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout_at;

use crate::engine::Shared;
use crate::error::Failure;
use crate::grant::Grant;
use crate::load::OnCut;
use crate::quarantine::Quarantine;
use crate::run::{self, Pre};
use crate::state::World;
use crate::upstream::{Origin, Upstream};

/// A component that was compiled and checked. Cheap to clone; requests may run at once on any threads, and none sees
/// another.
#[derive(Clone)]
pub struct Function {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) name: Arc<str>,
    pub(crate) digest: String,
    pub(crate) imports: BTreeSet<Grant>,
    pub(crate) manifest: BTreeSet<String>,
    pub(crate) middleware: bool,
    pub(crate) pre: Pre,
    pub(crate) world: World,
    pub(crate) origins: Arc<[Origin]>,
    pub(crate) outbound: Option<Arc<dyn Upstream>>,
    pub(crate) on_cut: Option<OnCut>,
    /// This component's share of the pool.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) quarantine: Quarantine,
    /// Keeps the clock running.
    pub(crate) shared: Arc<Shared>,
}

/// A request to a component.
pub struct Call {
    /// The request, with an absolute address: scheme, authority and path are what the guest reads.
    pub request: Request<Body>,
    /// When the head of the response must have come.
    pub deadline: Instant,
    /// What a middleware's handler import leads to.
    pub next: Option<Arc<dyn Upstream>>,
}

impl Function {
    /// The name from the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// SHA-256 of the component, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// What it imports that needs a grant: all that it can do beside answering.
    #[must_use]
    pub fn imports(&self) -> &BTreeSet<Grant> {
        &self.inner.imports
    }

    /// The names of what it imports, as its signer states them: see [`manifest`](crate::manifest()).
    #[must_use]
    pub fn manifest(&self) -> &BTreeSet<String> {
        &self.inner.manifest
    }

    /// Whether it rests after repeated failures, or is being tried after it did.
    #[must_use]
    pub fn is_quarantined(&self) -> bool {
        self.inner.quarantine.rests()
    }

    /// Whether it calls what comes next, so that it makes sense only in front of something.
    #[must_use]
    pub fn is_middleware(&self) -> bool {
        self.inner.middleware
    }

    /// Has a fresh instance answer a request. Returns with the head of its response; the body follows for as long as
    /// the instance lives, and breaks off if that fails. Dropping the future or the body ends the instance.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// There is no response.
    pub async fn call(&self, call: Call) -> Result<Response<Body>, Failure> {
        let place = Arc::clone(&self.inner.places).try_acquire_owned().map_err(|_| Failure::PoolExhausted)?;
        let entered = self.inner.quarantine.enter().ok_or(Failure::Quarantined)?;
        let (head, coming) = oneshot::channel();
        let deadline = call.deadline;
        tokio::spawn(run::run(Arc::clone(&self.inner), call, head, (place, entered)));
        match timeout_at(deadline.into(), coming).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err(Failure::Internal("the instance's task ended early".to_owned())),
            Err(_) => Err(Failure::NoAnswer),
        }
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.inner.name)
            .field("digest", &self.inner.digest)
            .field("imports", &self.inner.imports)
            .field("middleware", &self.inner.middleware)
            .finish_non_exhaustive()
    }
}
