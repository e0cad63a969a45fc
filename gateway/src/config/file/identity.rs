//! The parts of the file about who is asking.

use std::path::PathBuf;

use serde::Deserialize;

/// `[tokens]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Revocations, one JSON object in each line; read again on reload.
    pub revocations_file: Option<PathBuf>,
    /// Revocations that may be told through the admin API, beside the file's.
    pub revocations: usize,
    /// Proofs (DPoP) remembered at once; each counts once while it could come again.
    pub proofs: usize,
    /// Of them, those of one subject. Absent: a thirty-second of `proofs`.
    pub proofs_per_subject: Option<usize>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { revocations_file: None, revocations: 10_000, proofs: 262_144, proofs_per_subject: None }
    }
}

/// `[[issuers]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Issuer {
    /// Exact value of a token's `iss`.
    pub issuer: String,
    /// Accepted values of `aud`; one must match.
    pub audiences: Vec<String>,
    /// Accepted signature algorithms: ES256, RS256, PS256, EdDSA.
    pub algorithms: Vec<String>,
    /// JWKS in a file; read again on reload.
    pub jwks_file: Option<PathBuf>,
    /// JWKS behind an HTTPS address; fetched at start, on a timer, and once when a token names an unknown key.
    pub jwks_url: Option<String>,
    /// PEM roots for `jwks_url`. Absent: the public web's.
    pub jwks_ca: Option<PathBuf>,
    /// Time between two fetches of `jwks_url`.
    pub jwks_refresh_ms: Option<u64>,
    /// How long keys from `jwks_url` are believed after the last fetch that succeeded.
    pub jwks_stale_ms: Option<u64>,
    /// Proofs of possession (DPoP).
    pub dpop: Dpop,
    /// How old a proof may be.
    pub dpop_window_s: Option<u64>,
    /// Whether a proof must hold a nonce of this node.
    pub dpop_nonce: bool,
    /// Clock difference forgiven in `exp` and `nbf`.
    pub leeway_s: Option<u64>,
    /// JSON pointer to the tenant's name in the claims.
    pub tenant_claim: Option<String>,
    /// Put before the tenant's name; keeps the tenants of several issuers apart.
    pub tenant_prefix: String,
}

/// Whether tokens may be bound to a key that each request proves (RFC 9449).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dpop {
    /// Bound tokens are refused.
    Off,
    /// Bound tokens need their proofs, others do not.
    #[default]
    Accepted,
    /// Every token must be bound.
    Required,
}
