//! Seals values to a tenant and a purpose: AES-256-GCM under a key derived from a named master key, as a JWE in compact
//! form (RFC 7516), so that any JOSE library with the derived key opens it. Signs and seals also for an owner and a purpose,
//! under keys that no tenant ever has.
//!
//! Keys have names; who seals and opens never sees their bytes. This crate knows no tensor, no request and no plugin: a
//! purpose is a text that must be the same on both sides.

mod derive;
mod error;
mod jwe;
mod key_file;
mod keyring;
mod purpose;

pub use error::SealError;
pub use keyring::Keyring;
pub use purpose::SIGNATURE_BYTES;
