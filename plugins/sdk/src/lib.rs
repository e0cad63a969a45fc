//! What a policy plugin in Rust is written with.
//!
//! A plugin is a type that reads its configuration once and then decides. It names its hooks, and becomes a component
//! that exports them and nothing else:
//!
//! ```
//! use forebay_plugin_sdk::{OnRequest, Plugin, Request, Verdict, config, plugin};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Banner {
//!     needed: String,
//! }
//!
//! impl Plugin for Banner {
//!     fn configure(text: &str) -> Result<Self, String> {
//!         config::parse(text)
//!     }
//! }
//!
//! impl OnRequest for Banner {
//!     fn on_request(&self, request: &Request) -> Verdict {
//!         match request.text(&self.needed) {
//!             Some(_) => Verdict::Continue,
//!             None => Verdict::forbid("a header field is missing"),
//!         }
//!     }
//! }
//!
//! plugin!(Banner: on_request);
//! ```
//!
//! What the host offers is in modules named like the interfaces of the contract: [`identity`], [`counters`],
//! [`key_value`] and so on. A component imports an interface when its code calls a function of it, so a plugin asks for
//! no more than it uses; one that uses [`Request`] and [`identity`] alone is pure, and its verdicts can be remembered.
//!
//! The same code compiles natively. There the host is a double that a test sets up through [`testing`]; it is not there
//! in a component.

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
pub mod config;
mod heads;
mod hooks;
mod host;
mod macros;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod verdict;

pub use heads::{Request, Response, Trailers, current_request};
pub use hooks::{
    OnForward, OnRequest, OnRequestBody, OnRequestChunk, OnResponse, OnResponseBody, OnResponseChunk, OnReturn,
    OnTrailers, Plugin,
};
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use hooks::{Slot, configure, run};
pub use host::{
    body, clock, counters, identity, inference, journal, key_value, keys, log, metrics, notes, outbound, random,
    sealing,
};
#[doc(no_inline)]
pub use host::{body::Part, sealing::Message};
pub use verdict::{Answer, Header, Verdict};
