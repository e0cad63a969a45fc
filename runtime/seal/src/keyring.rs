//! Master keys by name, and what can be done with them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::derive::{KEY_BYTES, content_key};
use crate::jwe::{self, Header};
use crate::{SealError, key_file};

/// Named master keys. Their bytes are wiped from memory when it goes, and nothing prints them.
#[derive(Default)]
pub struct Keyring {
    masters: BTreeMap<String, Zeroizing<[u8; KEY_BYTES]>>,
}

impl Keyring {
    /// A keyring without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, in place of an earlier one of the same name.
    pub fn insert(&mut self, name: impl Into<String>, master: [u8; KEY_BYTES]) {
        self.masters.insert(name.into(), Zeroizing::new(master));
    }

    /// Adds a key from a file that holds its 32 bytes as 64 hexadecimal digits or as base64url without padding.
    /// A file that its group or others can use is refused.
    ///
    /// # Errors
    /// `SealError::KeyFile`, with the file's name and never its contents.
    pub fn load_file(&mut self, name: impl Into<String>, path: impl AsRef<Path>) -> Result<(), SealError> {
        let name = name.into();
        let master = key_file::read(&name, path.as_ref())?;
        self.masters.insert(name, master);
        Ok(())
    }

    /// Whether there is a key of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.masters.contains_key(name)
    }

    /// Seals `plaintext` for a tenant and a purpose, `context`, both of which anyone can read in the result.
    ///
    /// The result is a JWE in compact form: `alg` is `dir`, `enc` is `A256GCM`, and the header also has `kid` (the key's
    /// name), `tnt` (the tenant) and `ctx` (the context).
    ///
    /// # Errors
    /// `UnknownKey`, `HeaderTooLong`, `Internal`.
    pub fn seal(&self, key: &str, tenant: &str, context: &str, plaintext: &[u8]) -> Result<String, SealError> {
        let content_key = content_key(self.master(key)?, key, tenant)?;
        jwe::seal(&content_key, &Header::new(key, tenant, context), plaintext)
    }

    /// Opens what `seal` made for the same key, tenant and context.
    ///
    /// # Errors
    /// `UnknownKey`; `Malformed` if it is not such a value; `Refused` if it does not open, for whichever reason.
    pub fn open(&self, key: &str, tenant: &str, context: &str, jwe: &str) -> Result<Vec<u8>, SealError> {
        let master = self.master(key)?;
        let parsed = jwe::parse(jwe)?;
        if parsed.header != Header::new(key, tenant, context) {
            return Err(SealError::Refused);
        }
        parsed.open(&*content_key(master, key, tenant)?)
    }

    /// The tenant that a sealed value names. It is a claim: only `open` proves it.
    ///
    /// # Errors
    /// `Malformed` if the header is not one that `seal` writes.
    pub fn tenant_of(jwe: &str) -> Result<String, SealError> {
        jwe::peek(jwe).map(|header| header.tnt)
    }

    /// The key that `seal` uses for a tenant, as a JWK (RFC 7517), to hand to who opens values elsewhere. It is a secret.
    ///
    /// # Errors
    /// `UnknownKey`, `Internal`.
    pub fn jwk(&self, key: &str, tenant: &str) -> Result<String, SealError> {
        #[derive(Serialize)]
        struct Jwk<'a> {
            kty: &'static str,
            kid: &'a str,
            k: &'a str,
        }
        let content_key = content_key(self.master(key)?, key, tenant)?;
        let k = Zeroizing::new(URL_SAFE_NO_PAD.encode(content_key.as_slice()));
        serde_json::to_string(&Jwk { kty: "oct", kid: key, k: &k }).map_err(|_| SealError::Internal("JWK"))
    }

    pub(crate) fn master(&self, key: &str) -> Result<&[u8; KEY_BYTES], SealError> {
        self.masters.get(key).map(|master| &**master).ok_or_else(|| SealError::UnknownKey(key.to_owned()))
    }
}

/// Names only.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.masters.keys()).finish()
    }
}
