//! Every bound under which plugins run, with its unit and its default.

use std::time::Duration;

/// The largest component that is compiled, in bytes. A Rust plugin has about 50 KB, one that carries a
/// JavaScript engine 12 MB.
pub const MAX_COMPONENT_BYTES: usize = 64 * 1024 * 1024;

/// How much one call of a host function may carry from the guest to the host, in bytes.
pub(crate) const HOST_CALL_BYTES: usize = 2 * 1024 * 1024;

/// A plugin that is not told otherwise may use one in so many of the pool's instances.
pub(crate) const SHARE_OF_POOL: u32 = 4;

/// Instances that wait for their call may hold one in so many of the pool's.
pub(crate) const READY_SHARE_OF_POOL: u32 = 4;

/// The most handles of the host's that an instance may hold at once. A hook is lent two; more come from `current-request`,
/// one for each call, and one that a plugin keeps stays for as long as its instance.
pub(crate) const HANDLES: usize = 256;

/// The most elements a guest's table may have.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;

/// The longest line a plugin may log, in bytes; the rest is cut off.
pub(crate) const LOG_LINE_BYTES: usize = 512;

/// The longest text of a failure, in bytes; the rest is cut off.
pub(crate) const FAILURE_BYTES: usize = 200;

/// The most bytes of a guest's own words in such a text.
pub(crate) const QUOTE_BYTES: usize = 64;

/// The longest text with which `configure` may refuse, in bytes; the rest is cut off.
pub(crate) const REFUSAL_BYTES: usize = 1024;

/// Bodies that stream may hold one in so many of the instances that a plugin may use.
pub(crate) const STREAM_SHARE: u32 = 2;

/// What all plugins share.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// How many calls may be in flight at once, over all plugins. One more ends in
    /// [`Failure::PoolExhausted`](crate::Failure::PoolExhausted). Bounded by `vm.max_map_count`.
    pub instances: u32,
    /// The most memory that any plugin may be given, in bytes.
    pub memory_bytes: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self { instances: 1_000, memory_bytes: 64 * 1024 * 1024 }
    }
}

/// What one call of a hook may use, and what one plugin may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// How long a hook may compute. Counted in ticks of one millisecond in which the guest ran, so a busy
    /// node does not fail a plugin that was waiting for its turn. Wall time is bounded by the request's own
    /// deadline: dropping the future of a call ends it.
    pub deadline: Duration,
    /// How long host functions may work for a hook, on top of `deadline`: sealing a large tensor is honest work
    /// that a guest does not compute. Wall time from one host function to the next or to the guest's next
    /// yield, of which no stretch counts for more than 10 ms.
    pub host_time: Duration,
    /// The same for `configure`, once at load.
    pub configure_deadline: Duration,
    /// The most linear memory, in bytes.
    pub memory_bytes: usize,
    /// The most calls of host functions.
    pub host_calls: u32,
    /// The most bytes of text and values that those calls may carry, in both directions together. Tensors are
    /// not among them: a plugin names them.
    pub host_bytes: usize,
    /// The most log lines; more are dropped and counted.
    pub log_lines: u32,
    /// The most edits of a head.
    pub edits: u32,
    /// The most bytes of names and values in those edits.
    pub edit_bytes: usize,
    /// The most bytes that a hook may put in the place of a part of a body.
    pub part_bytes: usize,
    /// The most bytes that the verdict memo of a pure plugin may take, roughly. 0: no memo.
    pub memo_bytes: usize,
    /// How many fresh instances for each of its hooks may wait for their call, as far as demand asks for them. They
    /// hold places in the pool, which they give up for calls. 0: each is made when it is needed.
    pub ready: u32,
    /// How many calls of this plugin may be in flight at once. One more ends in
    /// [`Failure::PoolExhausted`](crate::Failure::PoolExhausted), while other plugins go on. At least 1 and at
    /// most [`EngineLimits::instances`]; None: a quarter of that, and at least 1. Half of them, and at least 1, may be
    /// bodies that stream: [`Failure::StreamsExhausted`](crate::Failure::StreamsExhausted).
    pub instances: Option<u32>,
    /// After how many failures of one hook in a row that blame the plugin it is quarantined: for one second, and for twice
    /// as long, up to a minute, each time that the one call after it fails too. A call that ends well makes good for one
    /// that failed, so a hook that fails more often than not comes to it as well. 0: never.
    pub quarantine_after: u32,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(5),
            host_time: Duration::from_millis(50),
            configure_deadline: Duration::from_secs(1),
            memory_bytes: 16 * 1024 * 1024,
            host_calls: 1_000,
            host_bytes: 8 * 1024 * 1024,
            log_lines: 20,
            edits: 64,
            edit_bytes: 16 * 1024,
            part_bytes: 8 * 1024 * 1024,
            memo_bytes: 1024 * 1024,
            ready: 32,
            instances: None,
            quarantine_after: 20,
        }
    }
}
