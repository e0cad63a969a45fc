//! What a person or CI does with this tree, one command each.
//!
//! The library exists so that tests can prepare the very assets that `cargo xtask assets` prepares. It knows the layout
//! of the tree and the tools around it; it knows nothing of gateways, models or policies.
#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod assets;
mod bench;
pub mod cli;
mod command;
mod demo;
mod deny;
mod files;
mod progress;
mod test;
mod workspace;

pub use workspace::Workspace;
