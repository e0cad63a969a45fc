//! Plugins as built, in the engine: hostile ones end in their failure while good ones go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "plugins/access.rs"]
mod access;
#[path = "plugins/artefacts.rs"]
mod artefacts;
#[path = "plugins/bodies.rs"]
mod bodies;
#[path = "plugins/calls.rs"]
mod calls;
#[path = "plugins/concurrency.rs"]
mod concurrency;
#[path = "plugins/crafted.rs"]
mod crafted;
#[path = "plugins/forged.rs"]
mod forged;
#[path = "plugins/hostile.rs"]
mod hostile;
#[path = "plugins/loading.rs"]
mod loading;
#[path = "plugins/ready.rs"]
mod ready;
#[path = "plugins/sealing.rs"]
mod sealing;
#[path = "plugins/stores.rs"]
mod stores;
#[path = "plugins/streams.rs"]
mod streams;
#[path = "plugins/support.rs"]
mod support;
#[path = "plugins/wasi.rs"]
mod wasi;
