//! Plugins as built, in the engine: hostile ones end in their failure while good ones go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "plugins/access.rs"]
mod access;
#[path = "plugins/artefacts.rs"]
mod artefacts;
#[path = "plugins/concurrency.rs"]
mod concurrency;
#[path = "plugins/hostile.rs"]
mod hostile;
#[path = "plugins/loading.rs"]
mod loading;
#[path = "plugins/ready.rs"]
mod ready;
#[path = "plugins/sealing.rs"]
mod sealing;
#[path = "plugins/support.rs"]
mod support;
