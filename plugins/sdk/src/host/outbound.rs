//! HTTP requests to the origins that the node's configuration allows.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::outbound::{Incoming, OutboundError, Outgoing, send};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::outside::send;

/// A request.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// Header fields.
    pub headers: Vec<crate::Header>,
    /// The body.
    pub body: Vec<u8>,
    /// How long the exchange may take.
    pub timeout_ms: u32,
}

/// Its answer.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The status code.
    pub status: u16,
    /// Fields whose values are text.
    pub headers: Vec<crate::Header>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundError {
    /// The origin is not among those allowed.
    NotAllowed,
    /// Not a request that can be sent.
    BadRequest,
    /// No connection, or it broke.
    Unreachable,
    /// The time was over.
    Timeout,
    /// The answer is larger than allowed.
    TooLarge,
    /// As many requests of this plugin are under way as may be.
    Busy,
}
