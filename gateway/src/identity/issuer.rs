//! One trusted issuer: its keys, its algorithms, and the verification of its tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use forebay_policy::Absence;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, Validation, decode};
use serde_json::Value;
use tokio::sync::Mutex;

use super::Claims;
use super::jwks::{self, Keys, Remote};
use super::token::Unverified;
use crate::config;
use crate::error::StartError;

/// Shortest time between two fetches that unknown keys ask for, so that nobody can make us hammer an issuer.
const UNKNOWN_KEY_FETCH_GAP: Duration = Duration::from_secs(10);

/// An issuer and its present keys.
pub(crate) struct Issuer {
    config: config::Issuer,
    keys: ArcSwap<Keys>,
    generation: AtomicU64,
    remote: Option<Remote>,
    fetched_for_unknown: Mutex<Option<Instant>>,
}

impl Issuer {
    /// Reads the keys from their file, or prepares to fetch them.
    ///
    /// # Errors
    /// The file cannot be read, is not a JWKS, or holds no usable key.
    pub(super) fn load(at: &str, config: &config::Issuer) -> Result<Self, StartError> {
        let (keys, remote) = match &config.jwks {
            config::JwksSource::File(path) => {
                (jwks::read_file(&format!("{at}.jwks_file"), path, &config.algorithms)?, None)
            }
            config::JwksSource::Https { url, ca, refresh } => {
                (Keys::default(), Some(Remote::new(url, ca.as_deref(), *refresh)?))
            }
        };
        Ok(Self {
            config: config.clone(),
            keys: ArcSwap::from_pointee(keys),
            generation: AtomicU64::new(1),
            remote,
            fetched_for_unknown: Mutex::new(None),
        })
    }

    /// Exact value of `iss`.
    pub(super) fn name(&self) -> &str {
        &self.config.issuer
    }

    /// Changes whenever the keys do.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Verifies the signature and the registered claims of `token` (RFC 7519, section 7.2; RFC 8725).
    pub(super) fn verify(&self, token: &str, parts: &Unverified) -> Result<Claims, Absence> {
        let generation = self.generation();
        let algorithm = self.algorithm(&parts.algorithm)?;
        let keys = self.keys.load();
        let key = keys.find(parts.key_id.as_deref(), algorithm).ok_or(Absence::UnknownKey)?;
        let data = decode::<Value>(token, key, &self.validation(algorithm)).map_err(|error| absence(error.kind()))?;
        let value = data.claims;
        let tenant = value.pointer(&self.config.tenant_claim).and_then(Value::as_str).filter(|name| !name.is_empty());
        Ok(Claims {
            text: value.to_string(),
            tenant: tenant.map(|name| format!("{}{name}", self.config.tenant_prefix)),
            issuer: self.config.issuer.clone(),
            generation,
            expires_s: seconds(&value, "exp").ok_or(Absence::MissingClaim)?,
            not_before_s: seconds(&value, "nbf").ok_or(Absence::MissingClaim)?,
            leeway_s: self.config.leeway.as_secs(),
            value,
        })
    }

    /// The token's algorithm, where the configuration accepts it.
    fn algorithm(&self, name: &str) -> Result<Algorithm, Absence> {
        let named: Algorithm = name.parse().map_err(|_| Absence::BadAlgorithm)?;
        self.config.algorithms.iter().copied().find(|accepted| *accepted == named).ok_or(Absence::BadAlgorithm)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&self.config.audiences);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = self.config.leeway.as_secs();
        validation
    }

    /// Fetches the keys again because a token names one that is not known; at most once per gap. Who comes while that
    /// goes on waits for its end.
    pub(super) async fn refresh_for_unknown_key(&self) {
        if self.remote.is_none() {
            return;
        }
        let mut last = self.fetched_for_unknown.lock().await;
        if last.is_none_or(|last| last.elapsed() >= UNKNOWN_KEY_FETCH_GAP) {
            self.refresh().await;
            *last = Some(Instant::now());
        }
    }

    /// Whether this is the issuer that a configuration describes, with keys from an address: a reload keeps those.
    pub(super) fn keeps_keys_of(&self, issuer: &config::Issuer) -> bool {
        self.remote.is_some() && self.config == *issuer
    }

    /// Fetches the keys of an issuer behind an address for the first time, so that its tokens are known from the first
    /// request on, after a reload too.
    pub(crate) async fn fetch_first(&self) {
        self.refresh().await;
    }

    /// Keeps the keys of an issuer behind an address fresh; ends only when dropped.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        let Some(remote) = &self.remote else { return };
        loop {
            let known = !self.keys.load().is_empty();
            tokio::time::sleep(if known { remote.refresh() } else { UNKNOWN_KEY_FETCH_GAP }).await;
            self.refresh().await;
        }
    }

    async fn refresh(&self) {
        let Some(remote) = &self.remote else { return };
        let name = &self.config.issuer;
        match remote.fetch().await.and_then(|set: JwkSet| Keys::of(&set, &self.config.algorithms)) {
            Ok(keys) if **self.keys.load() == keys => {}
            Ok(keys) => {
                self.keys.store(Arc::new(keys));
                self.generation.fetch_add(1, Ordering::AcqRel);
                tracing::info!(issuer = %name, "took new keys");
            }
            Err(reason) => tracing::warn!(issuer = %name, %reason, "keys could not be fetched; the old ones stay"),
        }
    }
}

fn seconds(claims: &Value, name: &str) -> Option<u64> {
    let value = claims.get(name)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates")]
    value.as_u64().or_else(|| value.as_f64().filter(|s| *s >= 0.0).map(|s| s as u64))
}

fn absence(kind: &ErrorKind) -> Absence {
    match kind {
        ErrorKind::ExpiredSignature => Absence::Expired,
        ErrorKind::ImmatureSignature => Absence::NotYetValid,
        ErrorKind::InvalidAudience => Absence::WrongAudience,
        ErrorKind::InvalidIssuer => Absence::UnknownIssuer,
        ErrorKind::MissingRequiredClaim(_) => Absence::MissingClaim,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => Absence::BadAlgorithm,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => Absence::Malformed,
        _ => Absence::BadSignature,
    }
}
