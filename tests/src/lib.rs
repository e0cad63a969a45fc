//! The harness: whole nodes in this process or beside it, real clients, and counterparts that misbehave.
//!
//! A test should read as a sentence; what it takes to start a node, mint a token or cut a wire is here. Real parts are
//! used wherever there is one. What is faked is named by how it misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod answer;
pub mod assets;
pub mod client;
pub mod fakes;
pub mod gateway;
pub mod hand;
pub mod identity;
pub mod place;
pub mod process;
pub mod questions;
pub mod raw;
pub mod region;
pub mod runtime;
pub mod sockets;
pub mod tap;

pub use answer::Answer;
pub use client::Client;
pub use gateway::{Gateway, GatewayFile};
pub use identity::Token;
pub use place::Place;
pub use process::Process;
pub use region::Region;
pub use runtime::{eventually, run};
pub use tap::Tap;
