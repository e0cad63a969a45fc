//! What is found in a body, and what comes in its place.
//!
//! A body is text or JSON. In JSON only strings are changed, so it stays JSON. Both are read as they stream: of a text so
//! much is held back as a match could still need, so where the network cuts a body changes nothing of what is found.

mod config;
mod event;
mod find;
mod flow;
mod json;
mod stream;
mod text;

pub use config::{Config, Kind, Other};
pub use flow::Counts;
pub use stream::{Stream, Unreadable};

#[cfg(test)]
mod tests;
