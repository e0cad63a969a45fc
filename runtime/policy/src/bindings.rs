//! The Rust face of `wit/`: types and host traits for everything that a component may import.
//!
//! Generated once for the whole crate. Hooks are not part of it: a component exports those that it wants, so
//! they are looked up by name when it is loaded (see `load`).

// The generated code is not ours to lint.
#![allow(missing_docs, unreachable_pub, unused_qualifications, unsafe_code, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::todo)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "host",
    imports: { default: trappable },
    with: {
        "forebay:policy/http.request": crate::host::handles::RequestHandle,
        "forebay:policy/http.response": crate::host::handles::ResponseHandle,
        "forebay:policy/sealing.message": crate::host::handles::MessageHandle,
    },
});

pub(crate) use forebay::policy::{http, identity, log, sealing, types};
