//! Bodies, whole or as they stream.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::body::{Kind, Part, Side};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::part::Part;

/// What a part is.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole body.
    Whole,
    /// Some bytes of a body, cut anywhere.
    Chunk,
    /// One event of a stream of events, with its final empty line.
    Event,
    /// One text message of a WebSocket.
    Text,
    /// One binary message of a WebSocket.
    Binary,
}

/// Whose body it is.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client.
    Request,
    /// To the client.
    Response,
}

impl Part {
    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.read(0, u32::MAX)
    }

    /// The media type without its parameters, in lower case: `application/json`.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        let announced = self.content_type()?;
        Some(announced.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }
}
