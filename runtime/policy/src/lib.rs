//! Runs policy plugins: WebAssembly components for the contract in `wit/`.
//!
//! Policy decides who may ask for what, so it must hold when its code is wrong or hostile. Every call of a
//! hook gets a fresh instance from a pool, starts from the memory that `configure` left behind, runs under a
//! deadline, a memory limit and bounds on what it has the host do, and ends in a verdict or in a [`Failure`].
//! Nothing of a call outlives it, and no edit takes effect unless its hook returned a valid verdict. A plugin
//! has a share of the pool, and one that only fails is quarantined.
//!
//! This crate knows wasmtime. It knows no HTTP server, no route table, no key and no inference: what a
//! plugin asks about is answered by the caller through [`RequestView`], [`ResponseView`], [`IdentityView`]
//! and [`Message`], and what a failure means for the request is the caller's to say (the gateway refuses).

mod bindings;
mod breaker;
mod call;
mod capability;
mod edits;
mod engine;
mod error;
mod gate;
mod host;
mod host_time;
mod limits;
mod load;
mod phase;
mod plugin;
mod snapshot;
mod state;
mod verdict;
mod views;

pub use capability::{Capability, UnknownCapability};
pub use edits::{HeadEdit, HeadEdits};
pub use engine::Engine;
pub use error::{Failure, LoadError, PolicyError};
pub use limits::{CallLimits, EngineLimits, MAX_COMPONENT_BYTES};
pub use load::PluginSpec;
pub use phase::{Phase, Phases};
pub use plugin::{Plugin, RequestCall};
pub use verdict::{Answer, Outcome};
pub use views::{Absence, Field, IdentityView, Message, RequestView, ResponseView, SealFailure};
