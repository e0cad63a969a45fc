//! The JWE compact serialisation (RFC 7516, section 7.1) for one algorithm: `dir` with `A256GCM` (RFC 7518, 4.5 and 5.3).
//!
//! Reading is strict: one spelling of base64url, one set of header members. A header with anything more, `zip` and `crit`
//! included, is refused, since its author meant something that this reader would not do.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::SealError;
use crate::derive::KEY_BYTES;

/// Longest header that is read or written, in characters of base64url.
const MAX_HEADER_CHARS: usize = 8192;
const TAG_BYTES: usize = 16;

/// The protected header. Members are written in this order.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    alg: Direct,
    enc: Aes256Gcm,
    pub(crate) kid: String,
    pub(crate) tnt: String,
    pub(crate) ctx: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Direct {
    #[serde(rename = "dir")]
    Dir,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Aes256Gcm {
    #[serde(rename = "A256GCM")]
    A256Gcm,
}

impl Header {
    pub(crate) fn new(key: &str, tenant: &str, context: &str) -> Self {
        Header {
            alg: Direct::Dir,
            enc: Aes256Gcm::A256Gcm,
            kid: key.to_owned(),
            tnt: tenant.to_owned(),
            ctx: context.to_owned(),
        }
    }
}

/// Seals `plaintext`. The header is authenticated, not secret.
///
/// The nonce is random; RFC 7518, section 8.4, allows 2^32 values under one key that way.
pub(crate) fn seal(content_key: &[u8; KEY_BYTES], header: &Header, plaintext: &[u8]) -> Result<String, SealError> {
    let json = serde_json::to_vec(header).map_err(|_| SealError::Internal("header"))?;
    let mut jwe = URL_SAFE_NO_PAD.encode(json);
    if jwe.len() > MAX_HEADER_CHARS {
        return Err(SealError::HeaderTooLong);
    }
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Internal("randomness"))?;
    let mut ciphertext = plaintext.to_vec();
    let tag = cipher(content_key)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(jwe.as_bytes()), &mut ciphertext)
        .map_err(|_| SealError::Internal("encryption"))?;
    jwe.reserve(ciphertext.len() / 3 * 4 + 64);
    // The second part is the encrypted key, which `dir` leaves empty.
    jwe.push('.');
    for part in [&nonce[..], &ciphertext, tag.as_ref()] {
        jwe.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut jwe);
    }
    Ok(jwe)
}

/// A JWE taken apart and not yet believed.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    /// The header as it was written: the additional authenticated data.
    protected: &'a str,
    pub(crate) header: Header,
    nonce: [u8; NONCE_LEN],
    /// Ciphertext, then tag.
    sealed: Vec<u8>,
}

pub(crate) fn parse(jwe: &str) -> Result<Parsed<'_>, SealError> {
    let mut parts = jwe.split('.');
    let mut part = || parts.next().ok_or(SealError::Malformed("it has fewer than five parts"));
    let (protected, key, nonce, ciphertext, tag) = (part()?, part()?, part()?, part()?, part()?);
    if parts.next().is_some() {
        return Err(SealError::Malformed("it has more than five parts"));
    }
    if !key.is_empty() {
        return Err(SealError::Malformed("it holds an encrypted key"));
    }
    let header = header(protected)?;
    let nonce = decode(nonce)?.try_into().map_err(|_| SealError::Malformed("its nonce does not have 12 bytes"))?;
    let mut sealed = decode(ciphertext)?;
    let tag = decode(tag)?;
    if tag.len() != TAG_BYTES {
        return Err(SealError::Malformed("its tag does not have 16 bytes"));
    }
    sealed.extend_from_slice(&tag);
    Ok(Parsed { protected, header, nonce, sealed })
}

/// Reads the header of a JWE alone.
pub(crate) fn peek(jwe: &str) -> Result<Header, SealError> {
    let (protected, _) = jwe.split_once('.').ok_or(SealError::Malformed("it has fewer than five parts"))?;
    header(protected)
}

fn header(protected: &str) -> Result<Header, SealError> {
    if protected.len() > MAX_HEADER_CHARS {
        return Err(SealError::Malformed("its header is too long"));
    }
    let json = decode(protected)?;
    // A derived struct is also read from an array, which is no header.
    if !json.starts_with(b"{") {
        return Err(SealError::Malformed("its header is not an object"));
    }
    serde_json::from_slice(&json).map_err(|_| SealError::Malformed("its header is not one of ours"))
}

fn decode(part: &str) -> Result<Vec<u8>, SealError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| SealError::Malformed("a part is not unpadded base64url"))
}

impl Parsed<'_> {
    /// The plaintext, if nothing was altered.
    pub(crate) fn open(self, content_key: &[u8; KEY_BYTES]) -> Result<Vec<u8>, SealError> {
        let Parsed { protected, nonce, mut sealed, .. } = self;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = cipher(content_key)?
            .open_in_place(nonce, Aad::from(protected.as_bytes()), &mut sealed)
            .map_err(|_| SealError::Refused)?
            .len();
        sealed.truncate(length);
        Ok(sealed)
    }
}

fn cipher(content_key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, SealError> {
    let key = UnboundKey::new(&AES_256_GCM, content_key).map_err(|_| SealError::Internal("key"))?;
    Ok(LessSafeKey::new(key))
}
