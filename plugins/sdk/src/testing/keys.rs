//! The double of `keys`. What it signs and seals is bound to key and purpose as in the host, and is no cryptography.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::keys::KeyError;

fn known(key: &str) -> Result<(), KeyError> {
    let known = super::with(|host| host.keys.iter().any(|name| name == key));
    if known { Ok(()) } else { Err(KeyError::NoKey) }
}

/// 32 bytes that depend on key, purpose and data.
///
/// # Errors
/// No such key.
pub fn sign(key: &str, purpose: &str, data: &[u8]) -> Result<Vec<u8>, KeyError> {
    known(key)?;
    let words = (0..4_u8).map(|i| {
        let mut hasher = DefaultHasher::new();
        (i, key, purpose, data).hash(&mut hasher);
        hasher.finish().to_le_bytes()
    });
    Ok(words.flatten().collect())
}

/// Whether a signature is what [`sign`] gives.
///
/// # Errors
/// No such key.
pub fn verify(key: &str, purpose: &str, data: &[u8], signature: &[u8]) -> Result<bool, KeyError> {
    Ok(sign(key, purpose, data)? == signature)
}

/// Encrypts, or rather marks.
///
/// # Errors
/// No such key.
pub fn seal_text(key: &str, purpose: &str, text: &str) -> Result<String, KeyError> {
    known(key)?;
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{key}.{purpose}.{hex}"))
}

/// Opens what [`seal_text`] gave.
///
/// # Errors
/// No such key, or not sealed with it for this purpose.
pub fn open_text(key: &str, purpose: &str, sealed: &str) -> Result<String, KeyError> {
    known(key)?;
    let hex = sealed.strip_prefix(&format!("{key}.{purpose}.")).ok_or(KeyError::Rejected)?;
    let byte = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(KeyError::Rejected)
}
