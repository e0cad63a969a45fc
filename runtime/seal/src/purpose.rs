//! Signing and sealing for an owner and a purpose, where no tenant is meant: a plugin's cookie, a link, a log record.
//!
//! Each pair has keys of its own, one to sign and one to seal, so what was made for one is nothing to another.

use ring::hmac;

use crate::derive::{Use, purpose_key};
use crate::jwe::{self, Header};
use crate::{Keyring, SealError};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 32;

impl Keyring {
    /// HMAC-SHA-256 (RFC 2104) of `data` under the key of this owner and purpose.
    ///
    /// # Errors
    /// `UnknownKey`; `HeaderTooLong` for names beyond all measure; `Internal`.
    pub fn sign(&self, key: &str, owner: &str, purpose: &str, data: &[u8]) -> Result<[u8; SIGNATURE_BYTES], SealError> {
        let tag = hmac::sign(&self.signing_key(key, owner, purpose)?, data);
        tag.as_ref().try_into().map_err(|_| SealError::Internal("signature"))
    }

    /// Whether `signature` is what `sign` gives, compared in constant time.
    ///
    /// # Errors
    /// As for `sign`.
    pub fn verify(
        &self,
        key: &str,
        owner: &str,
        purpose: &str,
        data: &[u8],
        signature: &[u8],
    ) -> Result<bool, SealError> {
        Ok(hmac::verify(&self.signing_key(key, owner, purpose)?, data, signature).is_ok())
    }

    /// Seals `plaintext` for this owner and purpose, as [`Keyring::seal`] does for a tenant. The header's `tnt` is empty,
    /// its `ctx` is `{owner}/{purpose}`; which of the two a slash belongs to is decided by the key.
    ///
    /// # Errors
    /// As for `Keyring::seal`.
    pub fn seal_for(&self, key: &str, owner: &str, purpose: &str, plaintext: &[u8]) -> Result<String, SealError> {
        let content_key = purpose_key(self.master(key)?, Use::Seal, key, owner, purpose)?;
        jwe::seal(&content_key, &header(key, owner, purpose), plaintext)
    }

    /// Opens what `seal_for` made for the same key, owner and purpose.
    ///
    /// # Errors
    /// As for `Keyring::open`.
    pub fn open_for(&self, key: &str, owner: &str, purpose: &str, jwe: &str) -> Result<Vec<u8>, SealError> {
        let master = self.master(key)?;
        let parsed = jwe::parse(jwe)?;
        if parsed.header != header(key, owner, purpose) {
            return Err(SealError::Refused);
        }
        parsed.open(&*purpose_key(master, Use::Seal, key, owner, purpose)?)
    }

    fn signing_key(&self, key: &str, owner: &str, purpose: &str) -> Result<hmac::Key, SealError> {
        let derived = purpose_key(self.master(key)?, Use::Sign, key, owner, purpose)?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, derived.as_slice()))
    }
}

fn header(key: &str, owner: &str, purpose: &str) -> Header {
    Header::new(key, "", &format!("{owner}/{purpose}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn keyring() -> Keyring {
        let mut keyring = Keyring::new();
        keyring.insert("k", [7; 32]);
        keyring.insert("other", [8; 32]);
        keyring
    }

    #[test]
    fn a_signature_is_of_one_key_owner_purpose_and_text() {
        let keyring = keyring();
        let tag = keyring.sign("k", "plugin", "cookie", b"text").unwrap();
        assert_eq!(tag, keyring.sign("k", "plugin", "cookie", b"text").unwrap());
        assert!(keyring.verify("k", "plugin", "cookie", b"text", &tag).unwrap());
        for (key, owner, purpose, data) in [
            ("other", "plugin", "cookie", "text"),
            ("k", "plugins", "cookie", "text"),
            ("k", "plugin", "cookies", "text"),
            ("k", "plugincookie", "", "text"),
            ("k", "plugin", "cookie", "texts"),
        ] {
            assert!(!keyring.verify(key, owner, purpose, data.as_bytes(), &tag).unwrap(), "{key} {owner} {purpose}");
        }
        assert!(!keyring.verify("k", "plugin", "cookie", b"text", tag.split_last().unwrap().1).unwrap());
        assert!(matches!(keyring.sign("none", "plugin", "cookie", b""), Err(SealError::UnknownKey(_))));
    }

    #[test]
    fn what_is_sealed_for_a_purpose_opens_for_it_alone() {
        let keyring = keyring();
        let jwe = keyring.seal_for("k", "a", "b/c", b"secret").unwrap();
        assert_eq!(keyring.open_for("k", "a", "b/c", &jwe).unwrap(), b"secret");
        // The header reads alike, the key does not.
        assert!(matches!(keyring.open_for("k", "a/b", "c", &jwe), Err(SealError::Refused)));
        assert!(matches!(keyring.open_for("other", "a", "b/c", &jwe), Err(SealError::Refused)));
        // Nor is it a tenant's, or a tenant's value one of these.
        assert!(matches!(keyring.open("k", "", "a/b/c", &jwe), Err(SealError::Refused)));
        let of_tenant = keyring.seal("k", "", "a/b/c", b"secret").unwrap();
        assert!(matches!(keyring.open_for("k", "a", "b/c", &of_tenant), Err(SealError::Refused)));
    }

    proptest! {
        #[test]
        fn no_other_bytes_verify(data: Vec<u8>, tag in proptest::collection::vec(any::<u8>(), 0..40)) {
            let keyring = keyring();
            let right = keyring.sign("k", "o", "p", &data).unwrap();
            let told = keyring.verify("k", "o", "p", &data, &tag).unwrap();
            prop_assert_eq!(told, right.as_slice() == tag.as_slice());
        }
    }
}
