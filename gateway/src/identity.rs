//! Who is asking: one bearer token (RFC 6750), verified by the host, shown to policies as claims.
//!
//! The algorithm comes from the issuer's configuration, never from the token (RFC 8725, section 3.1). Claims are shown
//! only after the signature, `exp`, `nbf`, `iss` and `aud` held. A token that was verified once is remembered by its
//! SHA-256 until it expires or its issuer's keys change; the times are checked on every request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use forebay_policy::{Absence, IdentityView};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::digest;
use serde_json::Value;
use tokio::time::timeout_at;

mod issuer;
mod jwks;
mod token;

pub(crate) use issuer::Issuer;

use crate::config;
use crate::error::StartError;

/// Longest token that is looked at.
const TOKEN_MAX_BYTES: usize = 8 * 1024;
/// What the verified tokens that are remembered may weigh.
const VERIFIED_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The issuers this node trusts and the tokens it has verified.
pub(crate) struct Identities {
    issuers: HashMap<String, Arc<Issuer>>,
    verified: moka::sync::Cache<[u8; 32], Arc<Claims>>,
}

impl Identities {
    /// Loads the issuers' keys; those fetched by an earlier configuration's issuers stay.
    ///
    /// # Errors
    /// A key file is missing or unreadable. Keys behind an address are fetched later, before the first
    /// request: until then their tokens are refused.
    pub(crate) fn load(issuers: &[config::Issuer], before: Option<&Self>) -> Result<Self, StartError> {
        let mut loaded = HashMap::new();
        for (index, issuer) in issuers.iter().enumerate() {
            let known = before.and_then(|before| before.issuers.get(&issuer.issuer));
            let issuer = match known.filter(|known| known.keeps_keys_of(issuer)) {
                Some(known) => Arc::clone(known),
                None => Arc::new(Issuer::load(&format!("issuers[{index}]"), issuer)?),
            };
            loaded.insert(issuer.name().to_owned(), issuer);
        }
        let verified = moka::sync::Cache::builder()
            .max_capacity(VERIFIED_MAX_BYTES)
            .weigher(|_: &[u8; 32], claims: &Arc<Claims>| claims.weight_bytes())
            .build();
        Ok(Self { issuers: loaded, verified })
    }

    /// The issuers, for the tasks that refresh their keys.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.values()
    }

    /// Verifies the request's token, if it carries one, by `deadline`.
    pub(crate) async fn verify(&self, headers: &HeaderMap, deadline: Instant) -> Identity {
        let claims = self.claims(headers, unix_seconds(SystemTime::now()));
        Identity(timeout_at(deadline.into(), claims).await.unwrap_or(Err(Absence::UnknownKey)))
    }

    async fn claims(&self, headers: &HeaderMap, now_s: u64) -> Result<Arc<Claims>, Absence> {
        let token = bearer(headers)?;
        let digest = sha256(token.as_bytes());
        if let Some(claims) = self.verified.get(&digest)
            && self.issuers.get(&claims.issuer).is_some_and(|issuer| issuer.generation() == claims.generation)
        {
            claims.check_times(now_s)?;
            return Ok(claims);
        }
        let claims = Arc::new(self.verify_signature(token).await?);
        claims.check_times(now_s)?;
        self.verified.insert(digest, Arc::clone(&claims));
        Ok(claims)
    }

    async fn verify_signature(&self, token: &str) -> Result<Claims, Absence> {
        let parts = token::Unverified::read(token)?;
        let issuer = self.issuers.get(&parts.issuer).ok_or(Absence::UnknownIssuer)?;
        match issuer.verify(token, &parts) {
            Err(Absence::UnknownKey) => {
                issuer.refresh_for_unknown_key().await;
                issuer.verify(token, &parts)
            }
            verified => verified,
        }
    }
}

/// The one token of a request. Two `Authorization` headers are two readings, so neither counts.
fn bearer(headers: &HeaderMap) -> Result<&str, Absence> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Absence::Missing)?;
    if values.next().is_some() {
        return Err(Absence::Malformed);
    }
    let text = value.to_str().map_err(|_| Absence::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Absence::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Absence::Missing);
    }
    let token = token.trim_matches(' ');
    if token.is_empty() || token.len() > TOKEN_MAX_BYTES || token.bytes().filter(|byte| *byte == b'.').count() != 2 {
        return Err(Absence::Malformed);
    }
    Ok(token)
}

/// What a verified token says.
#[derive(Debug)]
pub(crate) struct Claims {
    text: String,
    value: Value,
    tenant: Option<String>,
    issuer: String,
    generation: u64,
    expires_s: u64,
    not_before_s: u64,
    leeway_s: u64,
}

impl Claims {
    /// Text, tree and bookkeeping, roughly.
    fn weight_bytes(&self) -> u32 {
        u32::try_from(self.text.len().saturating_mul(4).saturating_add(512)).unwrap_or(u32::MAX)
    }

    fn check_times(&self, now_s: u64) -> Result<(), Absence> {
        if now_s >= self.expires_s.saturating_add(self.leeway_s) {
            return Err(Absence::Expired);
        }
        if now_s.saturating_add(self.leeway_s) < self.not_before_s {
            return Err(Absence::NotYetValid);
        }
        Ok(())
    }
}

/// The caller of one request: verified claims, or why there are none.
#[derive(Debug, Clone)]
pub(crate) struct Identity(Result<Arc<Claims>, Absence>);

impl Identity {
    /// The tenant's name, where a verified token names one.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.0.as_ref().ok().and_then(|claims| claims.tenant.as_deref())
    }
}

impl IdentityView for Identity {
    fn claims(&self) -> Result<&str, Absence> {
        self.0.as_ref().map(|claims| claims.text.as_str()).map_err(|absence| *absence)
    }

    fn claim(&self, pointer: &str) -> Option<String> {
        self.0.as_ref().ok().and_then(|claims| claims.value.pointer(pointer)).map(Value::to_string)
    }

    fn tenant(&self) -> Option<&str> {
        Self::tenant(self)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn unix_seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_bearer_token_or_none() {
        assert_eq!(bearer(&headers(&["Bearer a.b.c"])), Ok("a.b.c"));
        assert_eq!(bearer(&headers(&["bearer  a.b.c"])), Ok("a.b.c"));
        assert_eq!(bearer(&headers(&[])), Err(Absence::Missing));
        assert_eq!(bearer(&headers(&["Basic dXNlcjpwYXNz"])), Err(Absence::Missing));
        for malformed in [&["Bearer"][..], &["Bearer a.b"], &["Bearer a.b.c", "Bearer a.b.c"], &["Bearer a.b.c.d"]] {
            assert_eq!(bearer(&headers(malformed)), Err(Absence::Malformed), "{malformed:?}");
        }
        let long = format!("Bearer {}.b.c", "a".repeat(TOKEN_MAX_BYTES));
        assert_eq!(bearer(&headers(&[&long])), Err(Absence::Malformed));
    }

    #[test]
    fn times_are_checked_with_leeway() {
        let claims = Claims {
            text: String::new(),
            value: Value::Null,
            tenant: None,
            issuer: String::new(),
            generation: 0,
            expires_s: 1_000,
            not_before_s: 500,
            leeway_s: 10,
        };
        assert_eq!(claims.check_times(499 - 10), Err(Absence::NotYetValid));
        assert_eq!(claims.check_times(490), Ok(()));
        assert_eq!(claims.check_times(1_009), Ok(()));
        assert_eq!(claims.check_times(1_010), Err(Absence::Expired));
    }
}
