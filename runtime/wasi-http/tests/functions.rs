//! The runtime with real components, built from `tests/guests-wasi` by `cargo xtask assets`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "functions/answers.rs"]
mod answers;
#[path = "functions/hostile.rs"]
mod hostile;
#[path = "functions/loading.rs"]
mod loading;
#[path = "functions/middleware.rs"]
mod middleware;
#[path = "functions/support.rs"]
mod support;
