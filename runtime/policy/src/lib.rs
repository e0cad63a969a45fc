//! Runs policy plugins: WebAssembly components for the contract in `wit/`.
//!
//! Policy decides who may ask for what, so it must hold when its code is wrong or hostile. Every call of a
//! hook gets a fresh instance from a pool, starts from the memory that `configure` left behind, runs under a
//! deadline, a memory limit and bounds on what it has the host do, and ends in a verdict or in a [`Failure`].
//! Nothing of a call outlives it, and no edit takes effect unless its hook returned a valid verdict. A plugin
//! has a share of the pool, and one that only fails is quarantined.
//!
//! This crate knows wasmtime. It knows no HTTP server, no route table, no key and no inference: what a
//! plugin asks about is answered by the caller through [`RequestView`], [`ResponseView`], [`IdentityView`],
//! [`Message`] and the traits of [`services`], and what a failure means for the request is the caller's to say (the gateway refuses).

mod artefact;
mod bill;
mod bindings;
mod breaker;
mod call;
mod capability;
mod compute_time;
mod context;
mod edits;
mod engine;
mod error;
mod facts;
mod fields;
mod files;
mod gate;
mod host;
mod host_time;
mod limits;
mod load;
mod log_lines;
mod memo;
mod node_key;
mod phase;
mod plugin;
mod ready;
mod recall;
mod recorder;
pub mod replay;
pub mod services;
pub mod signature;
mod snapshot;
mod state;
mod state_file;
mod stream;
mod trace;
mod verdict;
mod views;
mod wasi;

pub use artefact::{ArtefactCache, ArtefactStats};
pub use capability::{Capability, UnknownCapability};
pub use context::{Context, Notes, Part, PartKind};
pub use edits::{HeadEdit, HeadEdits};
pub use engine::Engine;
pub use error::{Failure, LoadError, PolicyError};
pub use fields::{combined, names};
pub use files::StateError;
pub use limits::{CallLimits, EngineLimits, MAX_COMPONENT_BYTES};
pub use load::PluginSpec;
pub use memo::MemoStats;
pub use node_key::NodeKey;
pub use phase::{Phase, Phases, Side};
pub use plugin::Plugin;
pub use recall::{Known, Recall, Unknown};
pub use recorder::{MAX_RECORDS, NotRecorded};
pub use services::Services;
pub use state_file::StateFile;
pub use stream::BodyStream;
pub use verdict::{Answer, Outcome};
pub use views::{Absence, Field, IdentityView, Message, RequestView, ResponseView, SealFailure};
