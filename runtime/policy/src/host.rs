//! The host's side of `wit/`: one file for each interface.
//!
//! A call has at most one request, one response, one message and so on, so handles carry no number: they exist for
//! the types, and wasmtime checks that the guest holds one.

mod body;
mod clock;
mod counters;
pub(crate) mod handles;
mod http;
mod identity;
mod inference;
mod journal;
mod key_value;
mod keys;
mod log;
mod metrics;
mod notes;
mod outbound;
mod random;
mod sealing;

use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings;
use crate::state::{CallState, Stop};

pub(crate) use handles::{MessageHandle, PartHandle, RequestHandle, ResponseHandle, TrailersHandle};

/// The number that every handle has.
pub(crate) const THE_ONE: u32 = 0;

/// The longest key of a counter, a bucket or a value.
const KEY_BYTES: usize = 256;
/// The longest time that something is kept for a plugin.
const DAY_S: u32 = 86_400;

/// Seconds that something is to be kept.
fn within_day(seconds: u32) -> Result<u64, Stop> {
    if (1..=DAY_S).contains(&seconds) {
        return Ok(seconds.into());
    }
    Err(Stop::BadVerdict(format!("{seconds} seconds is not between 1 and {DAY_S}")))
}

/// Whole milliseconds, rounded up: who waits for so long has waited long enough.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// Adds everything that is offered.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    bindings::Host_::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

impl bindings::types::Host for CallState {}
