//! The fields of draft-ietf-httpapi-ratelimit-headers (revision 10): lists of structured field strings with parameters.
//!
//! `RateLimit-Policy: "tenant";q=100;w=60` says what a limit is: so many units in so many seconds. `RateLimit:
//! "tenant";r=42;t=7` says what is left of it, and when there will be more. Names are legal strings without escapes.

use super::Limit;

/// What the limits are.
pub(super) const POLICY: &str = "ratelimit-policy";
/// What is left of the tightest.
pub(super) const STATE: &str = "ratelimit";

/// Seconds in which an empty bucket fills.
fn window_s(limit: &Limit) -> u128 {
    (u128::from(limit.capacity) * 60).div_ceil(u128::from(limit.per_minute.max(1)))
}

pub(super) fn policy(limits: &[&Limit]) -> String {
    let item = |limit: &&Limit| format!("\"{}\";q={};w={}", limit.name, limit.capacity, window_s(limit));
    limits.iter().map(item).collect::<Vec<_>>().join(", ")
}

pub(super) fn state(limit: &Limit, remaining: u64, until_ms: u64) -> String {
    format!("\"{}\";r={remaining};t={}", limit.name, until_ms.div_ceil(1_000))
}
