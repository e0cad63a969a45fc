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
    imports: {
        // What may wait for something outside this process.
        "forebay:policy/counters@0.1.1": async | trappable,
        "forebay:policy/key-value@0.1.1": async | trappable,
        "forebay:policy/outbound@0.1.1": async | trappable,
        "forebay:policy/inference@0.1.1": async | trappable,
        default: trappable,
    },
    with: {
        "forebay:policy/http.request": crate::host::handles::RequestHandle,
        "forebay:policy/http.response": crate::host::handles::ResponseHandle,
        "forebay:policy/http.trailers": crate::host::handles::TrailersHandle,
        "forebay:policy/body.part": crate::host::handles::PartHandle,
        "forebay:policy/sealing.message": crate::host::handles::MessageHandle,
    },
});

pub(crate) use forebay::policy::{
    body, clock, counters, http, identity, inference, journal, key_value, keys, log, metrics, notes, outbound, random,
    sealing, types,
};
