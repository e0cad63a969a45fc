//! `forebay token`: development tokens. Production tokens come from your identity provider.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::{Failure, say};

/// What the token says.
#[derive(Args)]
pub(crate) struct Options {
    /// PKCS#8 PEM file of an ES256 private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Name of the key in the JWKS.
    #[arg(long, default_value = "dev")]
    kid: String,
    /// `iss`
    #[arg(long)]
    issuer: String,
    /// `aud`
    #[arg(long)]
    audience: String,
    /// `tenant`
    #[arg(long)]
    tenant: String,
    /// `scope`, space-separated
    #[arg(long, default_value = "")]
    scope: String,
    /// Seconds until it expires.
    #[arg(long, default_value_t = 3600)]
    ttl_s: u64,
}

/// Claims of a development token.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Claims<'a> {
    pub(crate) iss: &'a str,
    pub(crate) aud: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) iat: u64,
    pub(crate) nbf: u64,
    pub(crate) exp: u64,
}

/// Prints a token.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let now = now_s();
    let claims = Claims {
        iss: &options.issuer,
        aud: &options.audience,
        sub: &options.tenant,
        tenant: &options.tenant,
        scope: &options.scope,
        iat: now,
        nbf: now,
        exp: now.saturating_add(options.ttl_s),
    };
    say(&mint(&options.key, &options.kid, &claims).map_err(Failure::Failed)?);
    Ok(())
}

/// Signs claims with the ES256 key in a PEM file.
pub(crate) fn mint(key: &Path, kid: &str, claims: &Claims<'_>) -> Result<String, String> {
    let failed = |reason: String| format!("{}: {reason}", key.display());
    let pem = std::fs::read(key).map_err(|error| failed(error.to_string()))?;
    let encoding = EncodingKey::from_ec_pem(&pem).map_err(|error| failed(error.to_string()))?;
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, claims, &encoding).map_err(|error| failed(error.to_string()))
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
