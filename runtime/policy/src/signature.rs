//! Signed plugins: who vouches for a component, under which name and version, and for which powers.
//!
//! A signature is over a statement, not over a file: the component's digest, the plugin's name and version, and what the
//! component imports. So a signed component cannot be passed off as another plugin or another version, and what was
//! agreed to be harmless cannot turn out to have learnt something. Which keys count, and which versions may run, is the
//! caller's to say.

mod file;
mod keys;
mod manifest;
mod statement;
mod versions;

use std::collections::BTreeSet;

use ring::digest;
use semver::Version;

use crate::capability::Capability;
pub use file::{MAX_SIGNATURE_FILE_BYTES, Signed, sha256_from_hex};
pub use keys::{SigningKey, VerifyingKey};
pub use manifest::manifest;
pub use statement::Statement;
pub use versions::{Served, VersionMemory};

/// Why a component does not count as signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature file or the key is not one.
    #[error("{0}")]
    Malformed(String),
    /// Signed with a key that does not count.
    #[error("it is signed with the key {key_id}, which is none of the signers: {}", .signers.join(", "))]
    UnknownSigner {
        /// The key that the file names.
        key_id: String,
        /// Those that count.
        signers: Vec<String>,
    },
    /// The signature is not of this statement by this key.
    #[error("the signature is wrong: somebody changed what it was made over")]
    Forged,
    /// The statement is about another component.
    #[error("the signature is over the component {signed}, this one is {real}")]
    OtherComponent {
        /// SHA-256 in the statement, in hexadecimal.
        signed: String,
        /// SHA-256 of the component.
        real: String,
    },
    /// The statement is about a plugin of another name.
    #[error("it is signed as `{signed}`, not as `{wanted}`")]
    OtherName {
        /// The name in the statement.
        signed: String,
        /// The name that was expected.
        wanted: String,
    },
    /// The statement is about another version than the one that was asked for.
    #[error("it is signed as version {signed}, but version {wanted} is asked for")]
    OtherVersion {
        /// The version in the statement.
        signed: Version,
        /// The version that was expected.
        wanted: Version,
    },
    /// The component imports something else than the statement says.
    #[error("the signature is for a component that uses [{}], this one uses [{}]", .signed.join(", "), .real.join(", "))]
    OtherImports {
        /// The imports in the statement.
        signed: Vec<String>,
        /// The component's.
        real: Vec<String>,
    },
    /// A later version was served before.
    #[error("version {served} was served before, and {version} would go back")]
    Downgrade {
        /// The highest version that was served.
        served: Version,
        /// The version at hand.
        version: Version,
    },
    /// Nobody knows which versions were served.
    #[error("it cannot be told which versions were served before: {0}")]
    NoMemory(String),
}

/// The keys that count.
#[derive(Clone, Debug, Default)]
pub struct Signers {
    keys: Vec<VerifyingKey>,
}

/// What a signer that counts said of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was said.
    pub statement: Statement,
    /// Who said it: [`VerifyingKey::id`].
    pub signer: String,
}

impl Signers {
    /// These keys and no others.
    #[must_use]
    pub fn new(keys: Vec<VerifyingKey>) -> Self {
        Self { keys }
    }

    /// Whether there is none, so that nothing can be signed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the key of that [`VerifyingKey::id`] is among them.
    #[must_use]
    pub fn know(&self, signer: &str) -> bool {
        self.keys.iter().any(|key| key.id() == signer)
    }

    /// Checks that one of these keys signed the component `wasm` under `name`, and as `version` where one is asked for.
    /// What the component imports is not known yet: [`Verified::check_imports`].
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn verify(
        &self,
        signed: &Signed,
        wasm_sha256: &[u8; 32],
        name: &str,
        version: Option<&Version>,
    ) -> Result<Verified, SignatureError> {
        let signer = self.keys.iter().find(|key| key.id() == signed.key_id).ok_or_else(|| {
            let signers = self.keys.iter().map(VerifyingKey::id).collect();
            SignatureError::UnknownSigner { key_id: signed.key_id.clone(), signers }
        })?;
        let statement = &signed.statement;
        signer.verify(statement, &signed.signature)?;
        if statement.sha256 != *wasm_sha256 {
            return Err(SignatureError::OtherComponent { signed: hex(&statement.sha256), real: hex(wasm_sha256) });
        }
        if statement.name != name {
            return Err(SignatureError::OtherName { signed: statement.name.clone(), wanted: name.to_owned() });
        }
        match version {
            Some(wanted) if *wanted != statement.version => {
                Err(SignatureError::OtherVersion { signed: statement.version.clone(), wanted: wanted.clone() })
            }
            _ => Ok(Verified { statement: statement.clone(), signer: signer.id() }),
        }
    }
}

impl Verified {
    /// Checks that the component imports exactly what the signer said.
    ///
    /// # Errors
    /// [`SignatureError::OtherImports`]
    pub fn check_imports(&self, imports: &BTreeSet<Capability>) -> Result<(), SignatureError> {
        self.check_names(&names(imports))
    }

    /// As [`Self::check_imports`], for components whose imports have other names than capabilities.
    ///
    /// # Errors
    /// [`SignatureError::OtherImports`]
    pub fn check_names(&self, real: &BTreeSet<String>) -> Result<(), SignatureError> {
        if self.statement.imports == *real {
            return Ok(());
        }
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect();
        Err(SignatureError::OtherImports { signed: list(&self.statement.imports), real: list(real) })
    }
}

/// The names of capabilities, as statements have them.
#[must_use]
pub fn names(imports: &BTreeSet<Capability>) -> BTreeSet<String> {
    imports.iter().map(|one| one.as_str().to_owned()).collect()
}

/// SHA-256 of a component: what statements and pins name it by.
#[must_use]
pub fn component_sha256(wasm: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let digest = digest::digest(&digest::SHA256, wasm);
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// Bytes in hexadecimal, in small letters.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
