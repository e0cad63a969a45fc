//! What can go wrong, by who is to blame: the node ([`PolicyError`]), the plugin or its configuration at
//! load ([`LoadError`]), the plugin in a call ([`Failure`]).

use crate::capability::{Capability, list};
use crate::limits::FAILURE_BYTES;
use crate::log_lines::told;

/// The node cannot run plugins as it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// More instances than the kernel allows mappings for. Going on would abort the process under load.
    #[error(
        "{asked} plugin instances need more memory mappings than this machine allows: at most {allowed} with \
         vm.max_map_count = {max_map_count}; raise it with `sysctl -w vm.max_map_count={needed}`"
    )]
    TooManyInstances {
        /// What the limits ask for.
        asked: u32,
        /// What the machine allows.
        allowed: u32,
        /// The machine's setting.
        max_map_count: u64,
        /// The setting that would do.
        needed: u64,
    },
    /// A limit that no engine can be made with.
    #[error("policy limits: {0}")]
    BadLimits(&'static str),
    /// The WebAssembly engine or its ticker did not start.
    #[error("the WebAssembly engine did not start: {0}")]
    Engine(String),
}

/// A plugin that is not fit to serve.
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
    /// The component imports what no gateway offers.
    #[error("the component imports what is not offered: {}", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// The component can do more than it was granted.
    #[error("the component uses [{}] but is granted [{}]", list(.needs), list(.granted))]
    NotGranted {
        /// The interfaces of which it imports functions.
        needs: Vec<Capability>,
        /// The interfaces that the configuration grants.
        granted: Vec<Capability>,
    },
    /// The component uses a capability that is granted but that the node has nothing behind.
    #[error("the component uses `{0}`, which is granted but not set up on this node")]
    NotOffered(Capability),
    /// An import or a hook has another type than the contract says.
    #[error("`{item}` does not have the type of the contract: {reason}")]
    Signature {
        /// The import or hook.
        item: String,
        /// What differs.
        reason: String,
    },
    /// The component exports no hook, so loading it would protect nothing.
    #[error(
        "the component exports no hook: none of on-request, on-request-body, on-request-chunk, on-forward, on-return, on-response, on-response-body, on-response-chunk and on-trailers"
    )]
    NoHooks,
    /// There is a configuration but no `configure`.
    #[error("the plugin was given a configuration but exports no `configure`")]
    NotConfigurable,
    /// `configure` refused the configuration.
    #[error("configuration refused: {0}")]
    Refused(String),
    /// Its start function computes too long: every instance, and so every request, would pay for it.
    #[error(
        "an instance computes for longer than the deadline of a call before any hook is called: move that work into \
         `configure`, or raise `deadline_ms`"
    )]
    SlowStart,
    /// `configure` did not end well.
    #[error("configure: {0}")]
    Configure(Failure),
    /// The configured memory could not be made into a component.
    #[error("the configured component could not be snapshotted: {0}")]
    Snapshot(String),
    /// The node could not load any plugin now.
    #[error("loading failed: {0}")]
    Internal(String),
}

/// A call that ended without a valid verdict. The caller refuses the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The guest trapped; a panic in it arrives here.
    #[error("trap: {0}")]
    Trap(String),
    /// The guest computed for longer than its deadline, or kept the host busy for longer than it may.
    #[error("the deadline passed")]
    Deadline,
    /// The guest asked for more memory than its limit.
    #[error("the memory limit was reached")]
    Memory,
    /// The guest called the host more often than its limit, or passed more bytes in those calls.
    #[error("the limit of host calls or of their bytes was reached")]
    HostCalls,
    /// All instances that the plugin may use are in use: its own share, or the pool. The plugin is not to blame.
    #[error("all instances for this plugin are in use")]
    PoolExhausted,
    /// As many bodies stream through the plugin as may: half of its share, so that what streams for long leaves room for
    /// calls. The plugin is not to blame.
    #[error("all instances for this plugin that may be streams are in use")]
    StreamsExhausted,
    /// The plugin failed so often in a row that it is not called for a while. This call is not to blame.
    #[error("the plugin is quarantined after failing again and again")]
    Quarantined,
    /// The guest returned or passed what the contract does not allow.
    #[error("bad verdict: {0}")]
    BadVerdict(String),
    /// The host failed. The plugin is not to blame.
    #[error("internal: {0}")]
    Internal(String),
}

impl Failure {
    // What they say goes into logs, and may have words of the guest in it.
    pub(crate) fn trap(text: &str) -> Self {
        Self::Trap(told(text, FAILURE_BYTES))
    }

    pub(crate) fn bad_verdict(text: &str) -> Self {
        Self::BadVerdict(told(text, FAILURE_BYTES))
    }

    pub(crate) fn internal(text: &str) -> Self {
        Self::Internal(told(text, FAILURE_BYTES))
    }

    /// A closed set of reasons, for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::HostCalls => "host-calls",
            Self::PoolExhausted | Self::StreamsExhausted => "pool-exhausted",
            Self::Quarantined => "quarantined",
            Self::BadVerdict(_) => "bad-verdict",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether the plugin caused it, which counts towards its quarantine.
    #[must_use]
    pub fn blames_plugin(&self) -> bool {
        !matches!(self, Self::PoolExhausted | Self::StreamsExhausted | Self::Quarantined | Self::Internal(_))
    }
}
