#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code, unused_imports, missing_docs)]
#[path = "plugins/ready.rs"]
mod ready;
#[path = "plugins/support.rs"]
mod support;
