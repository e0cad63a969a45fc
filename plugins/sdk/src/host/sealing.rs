//! Messages whose fields the host seals and opens.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::sealing::{Field, Message, SealError};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::message::Message;

/// A place in a message.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// An input tensor, by name.
    Input(String),
    /// An output tensor, by name.
    Output(String),
    /// A value in a JSON body, by JSON Pointer.
    Json(String),
}

/// Why a field could not be sealed or opened.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The message has no such field.
    NoField,
    /// No key of that name for this tenant.
    NoKey,
    /// Opening what is not sealed.
    NotSealed,
    /// Sealing what is sealed already.
    AlreadySealed,
    /// The sealed value was changed or belongs elsewhere.
    Rejected,
    /// Not possible for this kind of message or in this phase.
    Unsupported,
}
