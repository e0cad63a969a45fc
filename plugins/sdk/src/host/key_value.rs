//! Small values that outlive a call.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::key_value::{StoreError, delete, get, set, set_if_absent};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::stores::{delete, get, set, set_if_absent};

/// Why a value could not be kept.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The plugin's quota is used up.
    Full,
    /// The key is longer than 256 bytes, or the value longer than 65,536.
    TooLarge,
    /// The store cannot be reached now.
    Unavailable,
}
