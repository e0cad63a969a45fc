//! The edge of Forebay: a gateway node in a point of presence.
//!
//! Read `pipeline` first: one function names the stages of a request in order, and every other module here is one of
//! them or what they stand on. `ARCHITECTURE.md` is its prose.

pub mod admin;
mod admit;
mod cache;
pub mod cli;
pub mod config;
pub mod demo;
mod dialect;
mod edge;
mod error;
mod exchange;
mod function;
mod identity;
pub mod node;
mod pipeline;
mod policy;
mod route;
pub mod telemetry;
mod upstream;

pub use config::Config;
pub use error::StartError;
pub use node::Node;
