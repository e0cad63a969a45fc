//! Why something could not be sealed or opened. No text holds key bytes, plaintext or the sealed value.

/// What went wrong, by who is to blame.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The value to open is not a JWE as this crate writes them. The sender is to blame.
    #[error("not a sealed value: {0}")]
    Malformed(&'static str),
    /// The value does not open: another key, tenant or context, or it was altered. Deliberately not said which.
    #[error("the sealed value does not open for this key, tenant and context")]
    Refused,
    /// Names or context are too long for a header that `open` would read. The caller is to blame.
    #[error("key name, tenant and context are too long to seal under")]
    HeaderTooLong,
    /// No key has this name. The configuration is to blame.
    #[error("no key is named `{0}`")]
    UnknownKey(String),
    /// A key's file cannot be used. The operator is to blame.
    #[error("key `{name}`: {path}: {reason}")]
    KeyFile {
        /// Name of the key.
        name: String,
        /// The file, as it was named.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gave no randomness, or the cipher refused its input. Nobody outside is to blame.
    #[error("the cipher failed: {0}")]
    Internal(&'static str),
}
