//! One trusted issuer: its keys, its algorithms, and the verification of its tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use forebay_policy::Absence;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, Validation, decode};
use serde_json::Value;

use super::binding::Binding;
use super::claims::{Claims, Texts};
use super::denial::Denial;
use super::jwks::{self, Keys, Remote};
use super::refetch::{REFETCH_GAP, Refetch, Refetched};
use super::revocation::Subjects;
use super::token::Unverified;
use crate::config;
use crate::error::StartError;

/// An issuer and its present keys.
pub(crate) struct Issuer {
    config: config::Issuer,
    keys: ArcSwap<Keys>,
    generation: AtomicU64,
    remote: Option<Remote>,
    refetch: Refetch,
    age: Age,
}

/// How long ago the keys were last fetched.
struct Age {
    since: Instant,
    /// Milliseconds after `since`, plus one; 0: never.
    fetched_ms: AtomicU64,
    /// Whether the last fetch failed.
    failing: AtomicBool,
}

impl Age {
    fn new() -> Self {
        Self { since: Instant::now(), fetched_ms: AtomicU64::new(0), failing: AtomicBool::new(false) }
    }

    fn fetched(&self, now: Instant) {
        self.fetched_ms.store(self.millis(now).saturating_add(1), Ordering::Release);
        self.failing.store(false, Ordering::Release);
    }

    /// Time since the last fetch that succeeded.
    fn at(&self, now: Instant) -> Option<Duration> {
        let fetched = self.fetched_ms.load(Ordering::Acquire).checked_sub(1)?;
        Some(Duration::from_millis(self.millis(now).saturating_sub(fetched)))
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Issuer {
    /// Reads the keys from their file, or prepares to fetch them. Of `known`, the same issuer under another
    /// configuration, it takes the keys if they come from the same place: a reload must not lose them, since the issuer may
    /// be down just then.
    ///
    /// # Errors
    /// The file cannot be read, is not a JWKS, or holds no usable key.
    pub(super) fn load(at: &str, config: &config::Issuer, known: Option<&Self>) -> Result<Self, StartError> {
        let (keys, remote) = match &config.jwks {
            config::JwksSource::File(path) => {
                (jwks::read_file(&format!("{at}.jwks_file"), path, &config.algorithms)?, None)
            }
            config::JwksSource::Https { url, ca, refresh, stale } => {
                (Keys::default(), Some(Remote::new(url, ca.as_deref(), *refresh, *stale)?))
            }
        };
        let loaded = Self {
            config: config.clone(),
            keys: ArcSwap::from_pointee(keys),
            generation: AtomicU64::new(1),
            remote,
            refetch: Refetch::new(),
            age: Age::new(),
        };
        let Some(known) = known.filter(|known| known.has_keys_for(config)) else { return Ok(loaded) };
        loaded.keys.store(known.keys.load_full());
        let age = Age {
            since: known.age.since,
            fetched_ms: known.age.fetched_ms.load(Ordering::Acquire).into(),
            ..Age::new()
        };
        Ok(Self { age, ..loaded })
    }

    fn has_keys_for(&self, config: &config::Issuer) -> bool {
        let same_place = match (&self.config.jwks, &config.jwks) {
            (config::JwksSource::Https { url, ca, .. }, config::JwksSource::Https { url: new_url, ca: new_ca, .. }) => {
                (url, ca) == (new_url, new_ca)
            }
            _ => false,
        };
        same_place && self.config.algorithms == config.algorithms
    }

    /// Exact value of `iss`.
    pub(super) fn name(&self) -> &str {
        &self.config.issuer
    }

    /// Changes whenever the keys do.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How its tokens are to be shown.
    pub(super) fn proofs(&self) -> &config::Proofs {
        &self.config.proofs
    }

    /// Clock difference forgiven.
    pub(super) fn leeway_s(&self) -> u64 {
        self.config.leeway.as_secs()
    }

    /// Whether its keys may still be believed at `now`: those of a file always, fetched ones for a while after the last
    /// fetch that succeeded.
    pub(super) fn has_fresh_keys(&self, now: Instant) -> bool {
        let Some(remote) = &self.remote else { return true };
        self.age.at(now).is_some_and(|age| age <= remote.stale())
    }

    /// Verifies the signature and the registered claims of `token` (RFC 7519, section 7.2; RFC 8725).
    pub(super) fn verify(&self, token: &str, parts: &Unverified, now: Instant) -> Result<Claims, Denial> {
        let generation = self.generation();
        let algorithm = self.algorithm(&parts.algorithm)?;
        if !self.has_fresh_keys(now) {
            return Err(Denial::KeysUnavailable);
        }
        let keys = self.keys.load();
        let key = keys.find(parts.key_id.as_deref(), algorithm).ok_or(Absence::UnknownKey)?;
        let data = decode::<Value>(token, &key.decoding, &self.validation(algorithm))
            .map_err(|error| absence(error.kind()))?;
        let value = data.claims;
        let binding = Binding::of(&value).ok_or(Denial::UnknownBinding)?;
        let tenant = value.pointer(&self.config.tenant_claim).and_then(Value::as_str).filter(|name| !name.is_empty());
        // The key's own name, where it has one: a token that leaves it out must not get around a revoked key.
        let key_id = key.id.as_deref().or(parts.key_id.as_deref());
        Ok(Claims {
            text: value.to_string(),
            tenant: tenant.map(|name| format!("{}{name}", self.config.tenant_prefix)),
            subjects: Subjects::of(&self.config.issuer, &value, key_id),
            issuer: self.config.issuer.clone(),
            generation,
            expires_s: seconds(&value, "exp").ok_or(Absence::MissingClaim)?,
            not_before_s: seconds(&value, "nbf").ok_or(Absence::MissingClaim)?,
            leeway_s: self.leeway_s(),
            binding,
            value,
            texts: Texts::default(),
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

    /// Fetches the keys again because a token cannot be checked with those that are known. The fetch has a task of its own:
    /// a client that leaves does not end it, nor make another one due.
    pub(super) async fn refetch(self: &Arc<Self>, now: Instant) -> Refetched {
        if self.remote.is_none() {
            return Refetched::Newest;
        }
        let waited = self.refetch.ask(now, || {
            let ends = EndsRefetch(Arc::clone(self));
            tokio::spawn(async move { ends.0.refresh().await });
        });
        if waited.await && !self.age.failing.load(Ordering::Acquire) {
            return Refetched::Newest;
        }
        Refetched::Unavailable
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
            let failing = self.age.failing.load(Ordering::Acquire);
            tokio::time::sleep(if failing { remote.refresh().min(REFETCH_GAP) } else { remote.refresh() }).await;
            self.refresh().await;
        }
    }

    async fn refresh(&self) {
        let Some(remote) = &self.remote else { return };
        let name = &self.config.issuer;
        match remote.fetch().await.and_then(|set: JwkSet| Keys::of(&set, &self.config.algorithms)) {
            Ok(keys) => {
                if **self.keys.load() != keys {
                    self.keys.store(Arc::new(keys));
                    self.generation.fetch_add(1, Ordering::AcqRel);
                    tracing::info!(issuer = %name, "took new keys");
                }
                self.age.fetched(Instant::now());
            }
            Err(reason) => {
                self.age.failing.store(true, Ordering::Release);
                let age_ms = self.age.at(Instant::now()).map(|age| age.as_millis());
                tracing::warn!(issuer = %name, %reason, age_ms, "keys could not be fetched; the old ones stay for a while");
            }
        }
    }
}

/// Says that a fetch has ended, however it did.
struct EndsRefetch(Arc<Issuer>);

impl Drop for EndsRefetch {
    fn drop(&mut self) {
        self.0.refetch.ended();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_age_of_their_last_good_fetch() {
        let age = Age::new();
        let at = |ms: u64| age.since + Duration::from_millis(ms);
        assert_eq!(age.at(at(5)), None);
        age.fetched(at(0));
        assert_eq!(age.at(at(0)), Some(Duration::ZERO));
        assert_eq!(age.at(at(70)), Some(Duration::from_millis(70)));
        age.failing.store(true, Ordering::Release);
        assert_eq!(age.at(at(90)), Some(Duration::from_millis(90)));
        age.fetched(at(100));
        assert!(!age.failing.load(Ordering::Acquire));
        assert_eq!(age.at(at(110)), Some(Duration::from_millis(10)));
    }
}
