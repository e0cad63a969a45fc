//! Whole nodes as their callers and operators meet them: everything through the TLS front door.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod bad_input;
mod bodies;
mod cache;
mod capabilities;
mod framing;
mod functions;
mod house;
mod inference;
mod issuer_keys;
mod journal;
mod lifecycle;
mod lifecycle_plugins;
mod memo;
mod operators;
mod passing;
mod policy;
mod policy_http;
mod promotion;
mod regions;
mod residency;
mod sealing;
mod shadow;
mod tokens;
mod websocket;
mod websocket_openings;
