//! Runs components that were written for the standard `wasi:http`, as they are: edge functions
//! (`wasi:http/incoming-handler@0.2` and `wasi:http/handler@0.3`) and middleware (which also imports the handler of
//! whatever comes next).
//!
//! The typed contract in `wit/` is what policy on the hot path is written for. This is the door for what the
//! ecosystem has already: it costs several times as much, and it holds to the same rules. Every request gets a fresh
//! instance from a pool, under bounds on what it computes, holds, sends and asks of the host. What a component
//! imports must be inside its grants; file systems and sockets are not there for anybody. Bodies stream both ways.
//! Whatever goes wrong ends in a [`Failure`], and once a response's head has left, in a body that is visibly cut.
//!
//! This crate knows wasmtime. It knows no route table, no listener and no client: where a component's own requests
//! go, and what comes after a middleware, is the caller's ([`Upstream`]).

mod answer;
mod computing;
mod engine;
mod error;
mod function;
mod grant;
mod guarded;
mod hooks;
mod limits;
mod load;
mod next;
mod outside;
mod quarantine;
mod run;
mod state;
mod stdio;
mod upstream;

pub use engine::Engine;
pub use error::{EngineError, Failure, LoadError};
pub use function::{Call, Function};
pub use grant::{Grant, UnknownGrant};
pub use limits::{CallLimits, EngineLimits, MAX_COMPONENT_BYTES};
pub use load::{FunctionSpec, OnCut, digest, manifest};
pub use upstream::{Exchange, Origin, UnusableOrigin, Upstream, UpstreamError};
