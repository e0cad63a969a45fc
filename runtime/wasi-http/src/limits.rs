//! Every bound under which components run, with its unit and its default.

use std::time::Duration;

/// The largest component that is compiled, in bytes.
pub const MAX_COMPONENT_BYTES: usize = 64 * 1024 * 1024;

/// How much one call of a host function may carry from the guest to the host, in bytes.
pub(crate) const HOST_CALL_BYTES: usize = 2 * 1024 * 1024;

/// The most bytes of a body that move at once.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// The most random bytes that one call gives.
pub(crate) const RANDOM_BYTES: u64 = 64 * 1024;

/// The most elements a guest's table may have.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;

/// The most handles to things of the host (requests, fields, streams) that one instance may hold.
pub(crate) const HANDLES: usize = 1_000;

/// The most tasks, streams and futures that one instance may have open, as counted at each tick.
pub(crate) const CONCURRENT: usize = 10_000;

/// The longest line that a component may log, in bytes; the rest is cut off.
pub(crate) const LOG_LINE_BYTES: usize = 512;

/// A component that is not told otherwise may use one in so many of the pool's instances.
pub(crate) const SHARE_OF_POOL: u32 = 4;

/// The most instances of any pool. Instances of this crate live in the reserve that the policy runtime leaves of
/// `vm.max_map_count`, which this fits into.
pub(crate) const MOST_INSTANCES: u32 = 1_000;

/// What all components share.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// How many requests may be inside components at once, over all of them: from 1 to 1,000. One more ends in
    /// [`Failure::PoolExhausted`](crate::Failure::PoolExhausted).
    pub instances: u32,
    /// The most memory that any component may be given, in bytes.
    pub memory_bytes: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self { instances: 256, memory_bytes: 256 * 1024 * 1024 }
    }
}

/// What one request may use of a component, and what one component may of the pool.
#[derive(Clone, Debug)]
pub struct CallLimits {
    /// How long the guest may compute for a request, its streams included, and have the host compute for it. Waiting for
    /// bodies, clocks and other servers is free.
    pub deadline: Duration,
    /// How long an instance may live, from its start to the last byte of its response and the work after it. What
    /// comes before the response's head is bounded by the request's own deadline too.
    pub lifetime: Duration,
    /// The most linear memory, in bytes, over all memories of the component.
    pub memory_bytes: usize,
    /// The most bytes of each body that enters or leaves the component.
    pub body_bytes: u64,
    /// How long somebody may keep silent within a body that the component reads.
    pub idle: Duration,
    /// The most fields in a head that the component writes.
    pub headers: usize,
    /// The most bytes of such a head.
    pub header_bytes: usize,
    /// The most requests that it may make of other servers, and of what comes next.
    pub upstream_calls: u32,
    /// The most lines that it may log; more are dropped and counted.
    pub log_lines: u32,
    /// How many requests may be inside this component at once. One more ends in
    /// [`Failure::PoolExhausted`](crate::Failure::PoolExhausted), while other components go on. None: a quarter of
    /// [`EngineLimits::instances`], and at least 1.
    pub instances: Option<u32>,
    /// Failures in a row, each the component's own doing, after which it is not asked for a while
    /// ([`Failure::Quarantined`](crate::Failure::Quarantined)): a second at first, twice as long after each further
    /// failure, a minute at most. 0: never.
    pub quarantine_after: u32,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(50),
            lifetime: Duration::from_secs(60),
            memory_bytes: 32 * 1024 * 1024,
            body_bytes: 8 * 1024 * 1024,
            idle: Duration::from_secs(30),
            headers: 100,
            header_bytes: 16 * 1024,
            upstream_calls: 4,
            log_lines: 20,
            instances: None,
            quarantine_after: 20,
        }
    }
}
