//! Who is asking: verified claims, or why there are none. Never the token.

use serde_json::Value;

#[cfg(target_family = "wasm")]
pub use crate::bindings::host::forebay::policy::identity::{Absence, claim, claims, tenant, verify};

/// Why a request has no verified identity.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Absence {
    Missing,
    Malformed,
    UnknownIssuer,
    UnknownKey,
    BadAlgorithm,
    BadSignature,
    Expired,
    NotYetValid,
    WrongAudience,
    MissingClaim,
    Revoked,
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use super::Absence;
    use crate::testing;

    /// Whether there is a verified identity.
    ///
    /// # Errors
    /// Why there is none.
    pub fn verify() -> Result<(), Absence> {
        testing::with(|host| host.claims.as_ref().map(|_| ()).map_err(|absence| *absence))
    }

    /// Every verified claim, as the text of one JSON object.
    ///
    /// # Errors
    /// Why there are none.
    pub fn claims() -> Result<String, Absence> {
        testing::with(|host| host.claims.as_ref().map(ToString::to_string).map_err(|absence| *absence))
    }

    /// One verified claim by its JSON Pointer, as JSON text.
    #[must_use]
    pub fn claim(pointer: &str) -> Option<String> {
        testing::with(|host| Some(host.claims.as_ref().ok()?.pointer(pointer)?.to_string()))
    }

    /// The tenant that the host derived from the identity.
    #[must_use]
    pub fn tenant() -> Option<String> {
        testing::with(|host| host.tenant.clone())
    }
}
#[cfg(not(target_family = "wasm"))]
pub use native::{claim, claims, tenant, verify};

/// One verified claim, as a value.
#[must_use]
pub fn value(pointer: &str) -> Option<Value> {
    serde_json::from_str(&claim(pointer)?).ok()
}

/// One verified claim that is a string.
#[must_use]
pub fn text(pointer: &str) -> Option<String> {
    serde_json::from_str(&claim(pointer)?).ok()
}
