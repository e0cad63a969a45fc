//! Keys by name: the host signs, seals and opens.

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::keys::{KeyError, open_text, seal_text, sign, verify};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::keys::{open_text, seal_text, sign, verify};

/// Why a key could not be used.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No key of that name for this plugin.
    NoKey,
    /// What was to be opened was changed, or belongs to another key, plugin or purpose.
    Rejected,
}
