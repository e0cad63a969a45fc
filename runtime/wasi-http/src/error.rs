//! What can go wrong, by who is to blame: the node ([`EngineError`]), the component or its configuration at load
//! ([`LoadError`]), the component in a request ([`Failure`]).

use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::{I32Exit, ResourceTableError};

use crate::grant::{Grant, list};

/// The node cannot run components as it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A limit that no engine can be made with.
    #[error("wasi:http limits: {0}")]
    BadLimits(&'static str),
    /// The WebAssembly engine or its ticker did not start.
    #[error("the WebAssembly engine did not start: {0}")]
    Engine(String),
}

/// A component that is not fit to serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The component is larger than [`MAX_COMPONENT_BYTES`](crate::MAX_COMPONENT_BYTES).
    #[error("the component has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A limit of the call is beyond what the engine was made for.
    #[error("limits: {0}")]
    BadLimits(String),
    /// Not a WebAssembly component, or one that uses what the engine does not have.
    #[error("not a component that can run here: {0}")]
    Compile(String),
    /// The component imports what this host does not have.
    #[error("the component imports what is not offered: {}", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// The component can do more than it was granted.
    #[error("the component uses [{}] but is granted [{}]", list(.needs), list(.granted))]
    NotGranted {
        /// What it imports functions of.
        needs: Vec<Grant>,
        /// What the configuration grants.
        granted: Vec<Grant>,
    },
    /// The component exports no handler.
    #[error("the component exports neither wasi:http/handler@0.3 nor wasi:http/incoming-handler@0.2")]
    NoHandler,
    /// An import or the handler has another type than the standard says.
    #[error("the component does not fit the standard's types: {0}")]
    Signature(String),
    /// No instance can be made of it within its limits.
    #[error("the component does not start: {0}")]
    Start(Failure),
    /// The node could not load any component now.
    #[error("loading failed: {0}")]
    Internal(String),
}

/// A request that a component did not answer, or not to the end. The caller refuses it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The guest trapped; a panic in it arrives here.
    #[error("trap: {0}")]
    Trap(String),
    /// The guest computed for longer than its deadline.
    #[error("the deadline for computing passed")]
    Deadline,
    /// No head of a response came before the request's deadline.
    #[error("no response in time")]
    NoAnswer,
    /// The instance reached the end of its lifetime with work left: a response that does not end, for one.
    #[error("not finished within its lifetime")]
    Lifetime,
    /// The guest asked for more memory than its limit.
    #[error("the memory limit was reached")]
    Memory,
    /// The guest asked more of the host than it may: too many handles or tasks, or too many bytes at once.
    #[error("the limit of what the host does for it was reached")]
    HostCalls,
    /// All instances that the component may use are in use: its own share, or the pool. It is not to blame.
    #[error("all instances for this component are in use")]
    PoolExhausted,
    /// The component failed too often in a row and is not asked for a while.
    #[error("in quarantine after repeated failures")]
    Quarantined,
    /// The guest returned an error instead of a response.
    #[error("it answered with an error: {0}")]
    Refused(String),
    /// The guest's response is none that may be sent.
    #[error("bad response: {0}")]
    BadResponse(String),
    /// The response's body is longer than it may be.
    #[error("the response is longer than {0} bytes")]
    BodyTooLarge(u64),
    /// The response's body broke off, or was left without an end.
    #[error("the response broke off: {0}")]
    Unfinished(String),
    /// The client left. Nobody is to blame.
    #[error("the client left")]
    Abandoned,
    /// The host failed. The component is not to blame.
    #[error("internal: {0}")]
    Internal(String),
}

impl Failure {
    /// A closed set of reasons, for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Deadline => "deadline",
            Self::NoAnswer => "no-answer",
            Self::Lifetime => "lifetime",
            Self::Memory => "memory",
            Self::HostCalls => "host-calls",
            Self::PoolExhausted => "pool-exhausted",
            Self::Quarantined => "quarantined",
            Self::Refused(_) => "refused",
            Self::BadResponse(_) => "bad-response",
            Self::BodyTooLarge(_) => "body-too-large",
            Self::Unfinished(_) => "unfinished",
            Self::Abandoned => "abandoned",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether the component caused it.
    #[must_use]
    pub fn blames_component(&self) -> bool {
        !matches!(self, Self::PoolExhausted | Self::Quarantined | Self::Abandoned | Self::Internal(_))
    }

    /// Names what ended a guest.
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return match stop {
                Stop::Deadline => Self::Deadline,
                Stop::Memory => Self::Memory,
                Stop::HostCalls => Self::HostCalls,
            };
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Self::PoolExhausted;
        }
        if error.is::<ResourceTableError>() {
            return Self::HostCalls;
        }
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Self::Trap(format!("it exited with {}", exit.0));
        }
        match error.downcast_ref::<Trap>() {
            Some(trap) => Self::Trap(trap.to_string()),
            None => Self::Trap(error.root_cause().to_string()),
        }
    }
}

/// Why the host ended a guest. Travels through wasmtime as the cause of a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("deadline")]
    Deadline,
    #[error("memory")]
    Memory,
    #[error("host calls")]
    HostCalls,
}
