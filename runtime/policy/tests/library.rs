//! The library of plugins as built: each component in a host, with the grants that its README names and no others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "library/bodies.rs"]
mod bodies;
#[path = "library/heads.rs"]
mod heads;
#[path = "library/stores.rs"]
mod stores;
#[path = "library/support.rs"]
mod support;
