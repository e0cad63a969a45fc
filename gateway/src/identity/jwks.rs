//! Public keys of an issuer (RFC 7517), from a file or an HTTPS address.

use std::path::Path;
use std::time::Duration;

use http::{Method, Request};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use url::Url;

use crate::error::StartError;
use crate::upstream::client::Client;

/// Longest JWKS that is read.
const JWKS_MAX_BYTES: usize = 256 * 1024;
/// Most keys taken from one set.
const KEYS_MAX: usize = 64;
/// Time that a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The keys of one issuer, each bound to the algorithm it may verify.
#[derive(Default)]
pub(super) struct Keys {
    keys: Vec<Key>,
}

/// A key for one algorithm.
pub(super) struct Key {
    pub(super) id: Option<String>,
    algorithm: Algorithm,
    jwk: Jwk,
    pub(super) decoding: DecodingKey,
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.keys.iter().map(|key| &key.jwk).eq(other.keys.iter().map(|key| &key.jwk))
    }
}

impl Keys {
    /// The keys of `set` that fit one of the accepted algorithms.
    pub(super) fn of(set: &JwkSet, accepted: &[Algorithm]) -> Result<Self, String> {
        let mut keys = Vec::new();
        for jwk in set.keys.iter().take(KEYS_MAX) {
            if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
                continue;
            }
            for algorithm in accepted.iter().copied().filter(|algorithm| fits(jwk, *algorithm)) {
                let decoding = DecodingKey::from_jwk(jwk).map_err(|error| format!("a key cannot be used: {error}"))?;
                keys.push(Key { id: jwk.common.key_id.clone(), algorithm, jwk: jwk.clone(), decoding });
            }
        }
        if keys.is_empty() {
            return Err("it holds no key for the accepted algorithms".into());
        }
        Ok(Self { keys })
    }

    /// The key a token names; a token without a name gets the only key there is for its algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.keys.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)),
            None => {
                let only = fitting.next()?;
                fitting.next().is_none().then_some(only)
            }
        }
    }
}

/// Whether a key is of the kind that `algorithm` needs, and does not say otherwise in `alg`.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256) => true,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    kind && jwk.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"))
}

/// Reads a JWKS file.
pub(super) fn read_file(key: &str, path: &Path, accepted: &[Algorithm]) -> Result<Keys, StartError> {
    let failed = |reason: String| StartError::File { key: key.into(), path: path.display().to_string(), reason };
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let set: JwkSet = serde_json::from_slice(&text).map_err(|error| failed(format!("is not a JWKS: {error}")))?;
    Keys::of(&set, accepted).map_err(failed)
}

/// A JWKS behind an HTTPS address.
pub(super) struct Remote {
    url: Url,
    client: Client,
    refresh: Duration,
    stale: Duration,
}

impl Remote {
    pub(super) fn new(url: &Url, ca: Option<&Path>, refresh: Duration, stale: Duration) -> Result<Self, StartError> {
        Ok(Self { url: url.clone(), client: Client::new(ca, None, FETCH_TIMEOUT)?, refresh, stale })
    }

    pub(super) fn refresh(&self) -> Duration {
        self.refresh
    }

    /// How long keys are believed after the last fetch that succeeded.
    pub(super) fn stale(&self) -> Duration {
        self.stale
    }

    pub(super) async fn fetch(&self) -> Result<JwkSet, String> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(self.url.as_str())
            .header(http::header::ACCEPT, "application/json")
            .body(bytes::Bytes::new())
            .map_err(|error| error.to_string())?;
        let (head, body) =
            self.client.fetch(request, JWKS_MAX_BYTES, FETCH_TIMEOUT).await.map_err(|error| error.to_string())?;
        if !head.status.is_success() {
            return Err(format!("status {}", head.status));
        }
        serde_json::from_slice(&body).map_err(|error| format!("is not a JWKS: {error}"))
    }
}
