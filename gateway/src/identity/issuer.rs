//! One trusted issuer: its keys, its algorithms, and the verification of its tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use forebay_policy::Absence;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, Validation, decode};
use parking_lot::Mutex;
use serde_json::Value;

use super::Claims;
use super::jwks::{self, Keys, Remote};
use super::token::Unverified;
use crate::config;
use crate::error::StartError;

/// Shortest time between two fetches that unknown keys ask for, so that nobody can make us hammer an issuer.
const UNKNOWN_KEY_FETCH_GAP: Duration = Duration::from_secs(10);

/// An issuer and its present keys.
pub(crate) struct Issuer {
    name: String,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
    tenant_claim: String,
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
            name: config.issuer.clone(),
            audiences: config.audiences.clone(),
            algorithms: config.algorithms.clone(),
            leeway: config.leeway,
            tenant_claim: config.tenant_claim.clone(),
            keys: ArcSwap::from_pointee(keys),
            generation: AtomicU64::new(1),
            remote,
            fetched_for_unknown: Mutex::new(None),
        })
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
        let tenant = value.pointer(&self.tenant_claim).and_then(Value::as_str).map(str::to_owned);
        Ok(Claims {
            text: value.to_string(),
            tenant,
            issuer: self.name.clone(),
            generation,
            expires_s: seconds(&value, "exp").ok_or(Absence::MissingClaim)?,
            not_before_s: seconds(&value, "nbf").ok_or(Absence::MissingClaim)?,
            leeway_s: self.leeway.as_secs(),
            value,
        })
    }

    /// The token's algorithm, where the configuration accepts it.
    fn algorithm(&self, name: &str) -> Result<Algorithm, Absence> {
        let named: Algorithm = name.parse().map_err(|_| Absence::BadAlgorithm)?;
        self.algorithms.iter().copied().find(|accepted| *accepted == named).ok_or(Absence::BadAlgorithm)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&self.audiences);
        validation.set_issuer(&[&self.name]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = self.leeway.as_secs();
        validation
    }

    /// Fetches the keys again because a token names one that is not known; at most once per gap. True: keys changed.
    pub(super) async fn refresh_for_unknown_key(&self) -> bool {
        if self.remote.is_none() {
            return false;
        }
        {
            let mut last = self.fetched_for_unknown.lock();
            let now = Instant::now();
            if last.is_some_and(|last| now.duration_since(last) < UNKNOWN_KEY_FETCH_GAP) {
                return false;
            }
            *last = Some(now);
        }
        self.refresh().await
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

    async fn refresh(&self) -> bool {
        let Some(remote) = &self.remote else { return false };
        match remote.fetch().await.and_then(|set: JwkSet| Keys::of(&set, &self.algorithms)) {
            Ok(keys) => {
                let changed = **self.keys.load() != keys;
                if changed {
                    self.keys.store(Arc::new(keys));
                    self.generation.fetch_add(1, Ordering::AcqRel);
                    tracing::info!(issuer = %self.name, "took new keys");
                }
                changed
            }
            Err(reason) => {
                tracing::warn!(issuer = %self.name, %reason, "keys could not be fetched; the old ones stay");
                false
            }
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
