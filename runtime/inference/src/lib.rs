//! Runs ONNX models on a regional node.
//!
//! A request goes the same way for every model: **check** (names, datatypes, shapes, sizes: all a caller can get wrong
//! is found here, since ONNX Runtime reports much of it as its own failure), **queue** (bounded, first come first
//! served, each entry with its deadline), **prepare** (texts become tokens, pictures become pixels), **run**, **finish**
//! (pooling, decoding). One thread owns one session, because a session runs one request at a time.
//!
//! This crate must not know HTTP, WebAssembly, tenants or keys: it is handed plain tensors and a deadline.

mod cancel;
mod device;
mod digest;
mod error;
mod library;
mod manifest;
mod model;
mod pool;
mod queue;
mod runtime;
mod session;
mod signature;
mod task;
mod text;

pub use device::{ActualDevice, Device};
pub use error::{Blame, InferenceError};
pub use model::{Inference, Model, ModelSettings, Place, Timing};
pub use runtime::{Runtime, RuntimeSettings};
