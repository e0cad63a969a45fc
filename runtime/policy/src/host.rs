//! The host's side of `wit/`: one file for each interface.
//!
//! A call has at most one request, one response and one message, so handles carry no number: they exist for
//! the types, and wasmtime checks that the guest holds one.

pub(crate) mod handles;
mod http;
mod identity;
mod log;
mod sealing;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings;
use crate::state::CallState;

pub(crate) use handles::{MessageHandle, RequestHandle, ResponseHandle};

/// The number that every handle has.
pub(crate) const THE_ONE: u32 = 0;

/// Adds everything that is offered.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    bindings::Host_::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

impl bindings::types::Host for CallState {}
