//! The signature file beside a component: the statement and its signature as a small JSON document.
//!
//! Nothing in it is believed: the statement's bytes are built anew from its fields and checked against the signature.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::statement::{FORMAT, Statement};
use super::{SignatureError, hex};

/// The largest signature file, in bytes.
pub const MAX_SIGNATURE_FILE_BYTES: usize = 64 * 1024;

/// A statement with a signature that has not been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What is said.
    pub statement: Statement,
    /// Which key is said to have signed it: [`VerifyingKey::id`](super::VerifyingKey::id).
    pub key_id: String,
    /// Ed25519 (RFC 8032) over [`Statement::canonical`], 64 bytes.
    pub signature: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    name: String,
    version: Version,
    sha256: String,
    imports: Vec<String>,
    key_id: String,
    signature: String,
}

impl Signed {
    /// Reads a signature file.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`]
    pub fn from_json(text: &[u8]) -> Result<Self, SignatureError> {
        let wrong = |reason: String| SignatureError::Malformed(format!("not a signature file: {reason}"));
        if text.len() > MAX_SIGNATURE_FILE_BYTES {
            return Err(wrong(format!("it has more than {MAX_SIGNATURE_FILE_BYTES} bytes")));
        }
        let file: File = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        if file.format != FORMAT {
            return Err(wrong(format!("it has the format {}, this node reads {FORMAT}", file.format)));
        }
        let sha256 = sha256_from_hex(&file.sha256).ok_or_else(|| wrong("`sha256` is not a digest".to_owned()))?;
        let count = file.imports.len();
        let imports: BTreeSet<String> = file.imports.into_iter().collect();
        if imports.len() != count {
            return Err(wrong("an import stands there twice".to_owned()));
        }
        let signature = STANDARD.decode(&file.signature).map_err(|error| wrong(format!("`signature`: {error}")))?;
        let statement = Statement { sha256, name: file.name, version: file.version, imports };
        statement.check()?;
        Ok(Self { statement, key_id: file.key_id, signature })
    }

    /// The text of a signature file.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`], which does not happen for what was signed or read.
    pub fn to_json(&self) -> Result<String, SignatureError> {
        let file = File {
            format: FORMAT,
            name: self.statement.name.clone(),
            version: self.statement.version.clone(),
            sha256: hex(&self.statement.sha256),
            imports: self.statement.imports.iter().cloned().collect(),
            key_id: self.key_id.clone(),
            signature: STANDARD.encode(&self.signature),
        };
        let text = serde_json::to_string_pretty(&file);
        text.map(|text| text + "\n").map_err(|error| SignatureError::Malformed(error.to_string()))
    }
}

/// Reads a SHA-256 of 64 hexadecimal digits.
#[must_use]
pub fn sha256_from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (digits, rest) = text.as_bytes().as_chunks::<2>();
    if digits.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(digits) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
