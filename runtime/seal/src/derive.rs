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

/// The content key for a tenant. Key name and tenant go in with their lengths, so no two pairs run together.
pub(crate) fn content_key(
    master: &[u8; KEY_BYTES],
    key: &str,
    tenant: &str,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
    let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(master);
    let (key_length, tenant_length) = (length(key)?, length(tenant)?);
    let info = [&key_length[..], key.as_bytes(), &tenant_length[..], tenant.as_bytes()];
    let mut content_key = Zeroizing::new([0; KEY_BYTES]);
    pseudorandom
        .expand(&info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(content_key.as_mut_slice()))
        .map_err(|_| SealError::Internal("key derivation"))?;
    Ok(content_key)
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
}
