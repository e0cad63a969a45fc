//! The verdict memo and replay, with components as built: what is remembered is what a run would decide.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "memo/differential.rs"]
mod differential;
#[path = "memo/replaying.rs"]
mod replaying;
#[path = "memo/rules.rs"]
mod rules;
#[path = "memo/support.rs"]
mod support;
