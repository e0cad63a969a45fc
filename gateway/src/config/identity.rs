//! Who is asking, as the program believes it.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use url::Url;

use super::DpopMode;

/// What the tokens of all issuers share.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub(crate) revocations_file: Option<PathBuf>,
    /// Folder that keeps what was told (`policy.state_dir`).
    pub(crate) state: Option<PathBuf>,
    pub(crate) revocations: usize,
    pub(crate) proofs: usize,
    /// Of one issuer and subject.
    pub(crate) proofs_per_subject: usize,
}

/// How the tokens of an issuer are proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proofs {
    pub(crate) mode: DpopMode,
    pub(crate) window_s: u64,
    pub(crate) nonce: bool,
}

/// Who may sign tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) jwks: JwksSource,
    pub(crate) leeway: Duration,
    pub(crate) tenant_claim: String,
    pub(crate) tenant_prefix: String,
    pub(crate) proofs: Proofs,
}

/// Where an issuer's public keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// A file, read at start and on reload.
    File(PathBuf),
    /// An HTTPS address.
    Https {
        /// The address.
        url: Url,
        /// PEM roots; absent: the public web's.
        ca: Option<PathBuf>,
        /// Time between two fetches.
        refresh: Duration,
        /// How long keys are believed after the last fetch that succeeded.
        stale: Duration,
    },
}
