//! A regional node: the Open Inference Protocol over HTTP in front of the models of one region.
//!
//! The crate joins three others: the listener, the protocol and the models. It knows keys by name, opens what the edge
//! sealed for it and seals what the edge asks for. It knows no policy, no cache and no other region.
//!
//! A request is read in `http.rs`, an inference in `infer.rs`; both go from top to bottom.

mod admission;
mod catalog;
mod config;
mod deadline;
mod error;
mod exchange;
mod file;
mod headers;
mod http;
mod infer;
mod metrics;
mod node;
mod sealed;

pub use config::RegionConfig;
pub use error::RegionError;
pub use node::{RegionNode, run};
