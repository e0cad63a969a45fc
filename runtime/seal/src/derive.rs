//! From a master key to the key of one tenant: HKDF-SHA-256 (RFC 5869).
//!
//! Destroying a master key, or refusing to derive for a tenant, forgets all that was sealed under it.

use ring::hkdf;
use zeroize::Zeroizing;

use crate::SealError;

/// Bytes of a master key and of a derived key.
pub(crate) const KEY_BYTES: usize = 32;

/// Fixed: another value is another derivation.
const SALT: &[u8] = b"forebay/seal/v1";

/// Another salt for keys that belong to a purpose and to no tenant: whatever the names, neither kind is ever the other.
const PURPOSE_SALT: &[u8] = b"forebay/purpose/v1";

/// What a key of a purpose does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// HMAC-SHA-256.
    Sign,
    /// AES-256-GCM.
    Seal,
}

/// The content key for a tenant. Key name and tenant go in with their lengths, so no two pairs run together.
pub(crate) fn content_key(
    master: &[u8; KEY_BYTES],
    key: &str,
    tenant: &str,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
    let (key_length, tenant_length) = (length(key)?, length(tenant)?);
    derive(master, SALT, &[&key_length[..], key.as_bytes(), &tenant_length[..], tenant.as_bytes()])
}

/// The key of an owner for one purpose. As for [`content_key`], every part goes in with its length.
pub(crate) fn purpose_key(
    master: &[u8; KEY_BYTES],
    does: Use,
    key: &str,
    owner: &str,
    purpose: &str,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
    let does = match does {
        Use::Sign => "sign",
        Use::Seal => "seal",
    };
    let (of_does, of_key, of_owner, of_purpose) = (length(does)?, length(key)?, length(owner)?, length(purpose)?);
    let info = [
        &of_does[..],
        does.as_bytes(),
        &of_key[..],
        key.as_bytes(),
        &of_owner[..],
        owner.as_bytes(),
        &of_purpose[..],
        purpose.as_bytes(),
    ];
    derive(master, PURPOSE_SALT, &info)
}

fn derive(master: &[u8; KEY_BYTES], salt: &[u8], info: &[&[u8]]) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
    let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(master);
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    pseudorandom
        .expand(info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(derived.as_mut_slice()))
        .map_err(|_| SealError::Internal("key derivation"))?;
    Ok(derived)
}

/// The length of `text` in bytes as 32 bits, big-endian.
fn length(text: &str) -> Result<[u8; 4], SealError> {
    u32::try_from(text.len()).map(u32::to_be_bytes).map_err(|_| SealError::HeaderTooLong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_part_matters_and_parts_do_not_run_together() {
        let base = content_key(&[1; 32], "ab", "c").unwrap();
        for other in [
            content_key(&[2; 32], "ab", "c"),
            content_key(&[1; 32], "a", "bc"),
            content_key(&[1; 32], "ab", "d"),
            content_key(&[1; 32], "abc", ""),
        ] {
            assert_ne!(*other.unwrap(), *base);
        }
    }

    #[test]
    fn keys_of_a_purpose_are_apart_from_each_other_and_from_those_of_tenants() {
        let base = purpose_key(&[1; 32], Use::Sign, "k", "ab", "c").unwrap();
        for other in [
            purpose_key(&[2; 32], Use::Sign, "k", "ab", "c"),
            purpose_key(&[1; 32], Use::Seal, "k", "ab", "c"),
            purpose_key(&[1; 32], Use::Sign, "ka", "b", "c"),
            purpose_key(&[1; 32], Use::Sign, "k", "a", "bc"),
            purpose_key(&[1; 32], Use::Sign, "k", "ab", "d"),
            content_key(&[1; 32], "k", "ab"),
            content_key(&[1; 32], "sign", "k"),
        ] {
            assert_ne!(*other.unwrap(), *base);
        }
    }
}
