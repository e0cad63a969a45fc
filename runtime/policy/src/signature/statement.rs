//! What a signer says of a component, and the bytes that are signed for it.
//!
//! Two statements have the same bytes only if they are the same: every field stands behind its length.

use std::collections::BTreeSet;

use semver::Version;

use super::SignatureError;

/// Begins the signed bytes, so that a signature of something else with the same key is never one of these.
const DOMAIN: &[u8] = b"forebay plugin statement";
/// The form of the signed bytes.
pub(super) const FORMAT: u32 = 1;

const MAX_NAME_BYTES: usize = 128;
const MAX_VERSION_BYTES: usize = 128;
const MAX_IMPORTS: usize = 64;
const MAX_IMPORT_BYTES: usize = 128;

/// What a signer says of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// SHA-256 of the component.
    pub sha256: [u8; 32],
    /// Name of the plugin.
    pub name: String,
    /// Its version (Semantic Versioning 2.0.0), without build metadata: those do not order.
    pub version: Version,
    /// The interfaces of which the component imports functions, by name: its capability manifest.
    pub imports: BTreeSet<String>,
}

impl Statement {
    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] with the field.
    pub fn check(&self) -> Result<(), SignatureError> {
        let wrong = |what: &str| Err(SignatureError::Malformed(what.to_owned()));
        if self.name.is_empty() || self.name.len() > MAX_NAME_BYTES || self.name.chars().any(char::is_control) {
            return wrong("the name must have 1 to 128 bytes and no control characters");
        }
        if !self.version.build.is_empty() {
            return wrong("the version must have no build metadata (`+...`), since they do not order versions");
        }
        if self.version.to_string().len() > MAX_VERSION_BYTES {
            return wrong("the version must have at most 128 bytes");
        }
        if self.imports.len() > MAX_IMPORTS || self.imports.iter().any(|name| name.len() > MAX_IMPORT_BYTES) {
            return wrong("there must be at most 64 imports, each of at most 128 bytes");
        }
        Ok(())
    }

    /// The bytes that are signed: domain, format, digest, name, version, and the number of imports and each of them in
    /// byte order; every field behind its length, a u64 in little-endian order.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut field = |contents: &[u8]| {
            bytes.extend_from_slice(&(contents.len() as u64).to_le_bytes());
            bytes.extend_from_slice(contents);
        };
        field(DOMAIN);
        field(&FORMAT.to_le_bytes());
        field(&self.sha256);
        field(self.name.as_bytes());
        field(self.version.to_string().as_bytes());
        field(&(self.imports.len() as u64).to_le_bytes());
        for import in &self.imports {
            field(import.as_bytes());
        }
        bytes
    }
}
