//! Counters and token buckets that outlive a call.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::counters::{CounterError, Taken, add, get, take};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::stores::{add, counter as get, take};

/// Why a counter or bucket could not be used.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterError {
    /// No room for another one, or the key is longer than 256 bytes.
    Full,
    /// The store cannot be reached now.
    Unavailable,
}

/// What a token bucket said.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether the tokens were taken.
    pub granted: bool,
    /// Whole tokens that are left.
    pub remaining: u64,
    /// How long until as many tokens are there as were asked for, in milliseconds.
    pub retry_after_ms: u64,
    /// How long until the bucket is full, in milliseconds.
    pub reset_ms: u64,
}
