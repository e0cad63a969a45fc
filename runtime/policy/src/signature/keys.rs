//! Ed25519 keys of publishers, in the files that other tools read and write as well.
//!
//! A private key is PKCS#8 (RFC 8410, section 7; with or without the public key, RFC 5958), a public key is a
//! SubjectPublicKeyInfo (RFC 8410, section 4), both as PEM (RFC 7468).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use zeroize::Zeroizing;

use super::{SignatureError, Signed, Statement, component_sha256, hex};

const KEY_BYTES: usize = 32;
/// What stands before the seed of a PKCS#8 key of version 1 for Ed25519 (RFC 8410, section 10.3).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// What stands before the key of a SubjectPublicKeyInfo for Ed25519 (RFC 8410, section 10.1).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Characters of a PEM line (RFC 7468, section 2).
const PEM_LINE: usize = 64;

/// A key that signs statements. Nothing prints it.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

/// A key that signatures are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    bytes: [u8; KEY_BYTES],
}

impl SigningKey {
    /// Makes a key; the text is what [`SigningKey::from_pem`] takes, and a secret.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> Result<(Self, Zeroizing<String>), SignatureError> {
        let mut der = Zeroizing::new([0; PKCS8_PREFIX.len() + KEY_BYTES]);
        let (prefix, seed) = der.split_at_mut(PKCS8_PREFIX.len());
        prefix.copy_from_slice(&PKCS8_PREFIX);
        SystemRandom::new().fill(seed).map_err(|_| malformed("the system gives no randomness"))?;
        let pem = Zeroizing::new(pem("PRIVATE KEY", der.as_slice()));
        Ok((Self::from_pem(pem.as_bytes())?, pem))
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`]
    pub fn from_pem(text: &[u8]) -> Result<Self, SignatureError> {
        let wrong = || malformed("not an Ed25519 private key as PKCS#8 PEM; `forebay plugin keygen FILE` makes one");
        let der = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| wrong())?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| wrong())?;
        Ok(Self { pair })
    }

    /// The key that this one's signatures are checked with.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        let mut bytes = [0; KEY_BYTES];
        bytes.iter_mut().zip(self.pair.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        VerifyingKey { bytes }
    }

    /// Signs a statement.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] for a statement whose fields are out of their bounds.
    pub fn sign(&self, statement: Statement) -> Result<Signed, SignatureError> {
        statement.check()?;
        let signature = self.pair.sign(&statement.canonical()).as_ref().to_vec();
        Ok(Signed { statement, key_id: self.verifying_key().id(), signature })
    }
}

impl VerifyingKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`]
    pub fn from_pem(text: &[u8]) -> Result<Self, SignatureError> {
        let wrong =
            || malformed("not an Ed25519 public key as PEM; `forebay plugin keygen FILE` writes one to FILE.pub");
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| wrong())?;
        let bytes = der.as_ref().strip_prefix(&SPKI_PREFIX).ok_or_else(wrong)?;
        bytes.try_into().map(|bytes| Self { bytes }).map_err(|_| wrong())
    }

    /// The text of the key.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &[SPKI_PREFIX.as_slice(), &self.bytes].concat())
    }

    /// A short name for the key, made from it: the first 16 bytes of its SHA-256 in hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = component_sha256(&self.bytes);
        hex(digest.first_chunk::<16>().map_or(&[], |first| first.as_slice()))
    }

    pub(super) fn verify(&self, statement: &Statement, signature: &[u8]) -> Result<(), SignatureError> {
        let key = UnparsedPublicKey::new(&ED25519, self.bytes);
        key.verify(&statement.canonical(), signature).map_err(|_| SignatureError::Forged)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(PEM_LINE) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

fn malformed(words: &str) -> SignatureError {
    SignatureError::Malformed(words.to_owned())
}
