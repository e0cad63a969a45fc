//! The time.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::clock::{monotonic_us, now_ms};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn now_ms() -> u64 {
    crate::testing::with(|host| host.now_ms)
}

/// Microseconds since some moment before the call.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn monotonic_us() -> u64 {
    crate::testing::with(|host| host.now_ms.saturating_mul(1_000))
}
