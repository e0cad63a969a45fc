//! Numbers for the node's metrics.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::metrics::{count, observe};

/// Adds to a count.
#[cfg(not(target_family = "wasm"))]
pub fn count(name: &str, by: u64) {
    crate::testing::with(|host| *host.counts.entry(name.to_owned()).or_default() += by);
}

/// Notes one value: a duration in seconds, a size in bytes.
#[cfg(not(target_family = "wasm"))]
pub fn observe(name: &str, value: f64) {
    crate::testing::with(|host| host.observed.entry(name.to_owned()).or_default().push(value));
}
