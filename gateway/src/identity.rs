//! Who is asking: one access token, verified by the host, shown to policies as claims.
//!
//! A token is a bearer's (RFC 6750), or bound to a key that every request must prove (DPoP, RFC 9449) or to a client
//! certificate (RFC 8705). The algorithm comes from the issuer's configuration, never from the token (RFC 8725, section
//! 3.1). Claims are shown only after the signature, `exp`, `nbf`, `iss` and `aud` held, and nothing was revoked.
//!
//! A token that was verified once is remembered by its SHA-256 until it expires or its issuer's keys change. Its times,
//! its revocation, the age of the keys and its binding are checked on every request.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use forebay_http::ConnectionInfo;
use forebay_policy::{Absence, IdentityView};
use http::uri::Authority;
use http::{HeaderMap, Method};
use ring::digest;
use tokio::time::timeout_at;

mod binding;
pub(crate) mod challenge;
mod claims;
mod credential;
mod denial;
pub(crate) mod dpop;
mod issuer;
mod jwks;
mod refetch;
mod rejected;
pub(crate) mod revocation;
mod standing;
mod token;

pub(crate) use issuer::Issuer;
pub(crate) use standing::{Cut, Over, Span};

use crate::config::{self, DpopMode};
use crate::error::{Refusal, StartError};
use challenge::Challenge;
use claims::Claims;
use credential::{Credential, Scheme};
use denial::Denial;
use dpop::{Came, Expected, Fault, Nonces, Proof, Replays, Unremembered};
use refetch::Refetched;
use rejected::Rejected;
use revocation::{Entry, Filed, Told, Trouble};

/// What the verified tokens that are remembered may weigh.
const VERIFIED_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The issuers this node trusts and what it knows of their tokens.
pub(crate) struct Identities {
    issuers: HashMap<String, Arc<Issuer>>,
    verified: moka::sync::Cache<[u8; 32], Arc<Claims>>,
    rejected: Rejected,
    serving: Arc<Serving>,
    /// What clients call this node; empty: whatever a request calls it.
    origins: Vec<String>,
    /// Some issuer takes no token without a proof.
    wants_proofs: bool,
    lasting: Arc<Lasting>,
}

/// What a configuration says of tokens that requests in work are held to, whichever they began under.
struct Serving {
    issuers: BTreeSet<String>,
    revoked: Filed,
}

/// What a reload keeps.
struct Lasting {
    /// Of the configuration that serves.
    serving: ArcSwap<Serving>,
    revoked: Told,
    replays: Replays,
    nonces: Nonces,
}

/// How much is done to find out who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// All that policies may rely on: newer keys are waited for, and a proof is spent.
    Full,
    /// Nobody is asked and nothing is spent: for routes on which nobody judges who it is.
    AtHand,
}

/// What a request is identified by.
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) method: &'a Method,
    /// Whom the request is addressed to.
    pub(crate) authority: Option<&'a Authority>,
    /// Path without query, as sent.
    pub(crate) path: &'a str,
    pub(crate) connection: &'a ConnectionInfo,
}

/// A moment, by the clock on the wall and by one that never goes back.
#[derive(Clone, Copy)]
struct Moment {
    s: u64,
    at: Instant,
}

impl Moment {
    fn now() -> Self {
        Self { s: unix_seconds(SystemTime::now()), at: Instant::now() }
    }
}

impl Identities {
    /// Loads the issuers' keys and the file of revocations. Of `before`, those of an earlier configuration, it keeps the
    /// keys that were fetched, the proofs that came and the revocations that were told.
    ///
    /// # Errors
    /// A file is missing or unreadable. Keys behind an address are fetched later, before the first request: until then
    /// their tokens are refused.
    pub(crate) fn load(config: &config::Config, before: Option<&Self>) -> Result<Self, StartError> {
        let mut issuers = HashMap::new();
        for (index, issuer) in config.issuers.iter().enumerate() {
            let known = before.and_then(|before| before.issuers.get(&issuer.issuer));
            let issuer = match known.filter(|known| known.keeps_keys_of(issuer)) {
                Some(known) => Arc::clone(known),
                None => Arc::new(Issuer::load(&format!("issuers[{index}]"), issuer, known.map(Arc::as_ref))?),
            };
            issuers.insert(issuer.name().to_owned(), issuer);
        }
        let tokens = &config.tokens;
        let names: BTreeSet<&str> = config.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
        let revoked = tokens.revocations_file.as_deref().map(|path| Filed::load(path, &names)).transpose()?;
        let verified = moka::sync::Cache::builder()
            .max_capacity(VERIFIED_MAX_BYTES)
            .weigher(|_: &[u8; 32], claims: &Arc<Claims>| claims.weight_bytes())
            .build();
        let issuer_names = names.into_iter().map(str::to_owned).collect();
        let serving = Arc::new(Serving { issuers: issuer_names, revoked: revoked.unwrap_or_default() });
        let lasting = match before {
            Some(before) => Arc::clone(&before.lasting),
            None => Arc::new(Lasting {
                serving: ArcSwap::new(Arc::clone(&serving)),
                revoked: Told::open(tokens.revocations, tokens.state.as_deref())?,
                replays: Replays::new(tokens.proofs, tokens.proofs_per_subject),
                nonces: Nonces::new(),
            }),
        };
        Ok(Self {
            wants_proofs: config.issuers.iter().any(|issuer| issuer.proofs.mode == DpopMode::Required),
            issuers,
            verified,
            rejected: Rejected::new(),
            serving,
            origins: config.listen.origins.clone(),
            lasting,
        })
    }

    /// The issuers, for the tasks that refresh their keys.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.values()
    }

    /// Verifies the request's token, if it carries one, by `deadline`.
    pub(crate) async fn verify(&self, asked: &Asked<'_>, effort: Effort, deadline: Instant) -> Verified {
        let now = Moment::now();
        let established = timeout_at(deadline.into(), self.establish(asked, effort, now)).await;
        let established = established.unwrap_or(Err(Denial::KeysUnavailable));
        let scheme = credential::scheme(asked.headers);
        let denial = established.as_ref().err().copied();
        let nonce = match &established {
            Ok((_, nonce)) => nonce.clone(),
            Err(Denial::NonceWanted) => Some(self.lasting.nonces.make(now.s)),
            Err(_) => None,
        };
        Verified {
            identity: Identity(established.map(|(claims, _)| claims).map_err(Denial::absence)),
            challenge: Challenge::of(scheme, denial, self.wants_proofs),
            denial,
            nonce,
        }
    }

    /// The claims of the request's token, and the nonce that its client should use from now on, if it needs another.
    async fn establish(
        &self,
        asked: &Asked<'_>,
        effort: Effort,
        now: Moment,
    ) -> Result<(Arc<Claims>, Option<String>), Denial> {
        let credential = credential::shown(asked.headers)?;
        let digest = sha256(credential.token.as_bytes());
        let claims = self.claims(credential.token, digest, effort, now).await?;
        claims.check_times(now.s)?;
        if self.serving.revoked.has(&claims.subjects, now.s) || self.lasting.revoked.has(&claims.subjects, now.s) {
            return Err(Absence::Revoked.into());
        }
        check_certificate(&claims, asked.connection)?;
        let proof = Proved { credential: &credential, digest: &digest, effort };
        let nonce = self.check_key(&claims, &proof, asked, now)?;
        Ok((claims, nonce))
    }

    /// The claims of a token whose signature holds.
    async fn claims(&self, token: &str, digest: [u8; 32], effort: Effort, now: Moment) -> Result<Arc<Claims>, Denial> {
        if let Some(claims) = self.verified.get(&digest)
            && let Some(issuer) = self.issuers.get(&claims.issuer)
            && issuer.generation() == claims.generation
            && issuer.has_fresh_keys(now.at)
        {
            return Ok(claims);
        }
        let parts = token::Unverified::read(token)?;
        let issuer = self.issuers.get(&parts.issuer).ok_or(Absence::UnknownIssuer)?;
        let generation = issuer.generation();
        if let Some(denial) = self.rejected.find(&digest, generation) {
            return Err(denial);
        }
        let claims = match verify(issuer, token, &parts, effort, now).await {
            Ok(claims) => Arc::new(claims),
            Err(denial) => {
                self.rejected.remember(digest, generation, denial);
                return Err(denial);
            }
        };
        self.verified.insert(digest, Arc::clone(&claims));
        Ok(claims)
    }

    /// Checks the proof that a token bound to a key needs (RFC 9449, sections 4.3 and 7.2).
    fn check_key(
        &self,
        claims: &Claims,
        proved: &Proved<'_>,
        asked: &Asked<'_>,
        now: Moment,
    ) -> Result<Option<String>, Denial> {
        let Some(issuer) = self.issuers.get(&claims.issuer) else { return Err(Absence::UnknownIssuer.into()) };
        let (proofs, credential) = (issuer.proofs(), proved.credential);
        let Some(key) = &claims.binding.key else {
            return match (credential.scheme, proofs.mode) {
                (Scheme::Dpop, _) => Err(Denial::NotForProofs),
                (Scheme::Bearer, DpopMode::Required) => Err(Denial::Unbound),
                (Scheme::Bearer, DpopMode::Off | DpopMode::Accepted) => Ok(None),
            };
        };
        if proofs.mode == DpopMode::Off {
            return Err(Denial::NotForProofs);
        }
        if credential.scheme != Scheme::Dpop {
            return Err(Denial::NoProof);
        }
        let text = dpop::shown(asked.headers).map_err(Denial::Proof)?.ok_or(Denial::NoProof)?;
        let proof = Proof::read(text).map_err(Denial::Proof)?;
        let expected = Expected {
            method: asked.method.as_str(),
            addresses: &dpop::addresses(&self.origins, asked.authority, asked.path),
            token: proved.digest,
            key,
            window_s: proofs.window_s,
            leeway_s: issuer.leeway_s(),
            now_s: now.s,
        };
        proof.check(&expected).map_err(Denial::Proof)?;
        let nonce = if proofs.nonce { self.check_nonce(&proof, now)? } else { None };
        if proved.effort == Effort::AtHand {
            return Ok(nonce);
        }
        let came = Came {
            issuer: &claims.issuer,
            caller: &claims.caller(),
            key,
            jti: proof.jti(),
            issued_s: proof.issued_s().ok_or(Denial::Proof(Fault::Time))?,
            window_s: proofs.window_s,
        };
        self.lasting.replays.remember(&came, now.s).map_err(|why| match why {
            Unremembered::Again => Denial::Proof(Fault::Replayed),
            Unremembered::Early => Denial::Proof(Fault::Time),
            Unremembered::Full => Denial::ProofsFull,
        })?;
        Ok(nonce)
    }

    fn check_nonce(&self, proof: &Proof<'_>, now: Moment) -> Result<Option<String>, Denial> {
        let nonces = &self.lasting.nonces;
        let known = proof.nonce().and_then(|nonce| nonces.check(nonce, now.s)).ok_or(Denial::NonceWanted)?;
        Ok(known.renew.then(|| nonces.make(now.s)))
    }

    /// Revokes tokens, from the next request on.
    ///
    /// # Errors
    /// The issuer is none of ours, so nothing would be revoked; there is no room; or it holds, but could not be written.
    pub(crate) async fn revoke(&self, entry: Entry) -> Result<(), Unrevoked> {
        if !self.issuers.contains_key(entry.issuer()) {
            return Err(Unrevoked::UnknownIssuer);
        }
        self.change(move |told| told.add(entry, Moment::now().s)).await
    }

    /// Takes back what was revoked through [`Self::revoke`]. False: it was not.
    ///
    /// # Errors
    /// It was taken back, but that could not be written.
    pub(crate) async fn take_back(&self, entry: Entry) -> Result<bool, Unrevoked> {
        self.change(move |told| told.remove(&entry)).await
    }

    /// Changes the list of what was told, on a thread that may block, to the end even if whoever asked leaves.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Told) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Unrevoked> {
        let lasting = Arc::clone(&self.lasting);
        let changed = tokio::task::spawn_blocking(move || change(&lasting.revoked)).await;
        changed.unwrap_or_else(|died| Err(Trouble::NotWritten(died.to_string()))).map_err(|trouble| match trouble {
            Trouble::Full => Unrevoked::Full(self.lasting.revoked.max()),
            Trouble::NotWritten(reason) => Unrevoked::NotWritten(reason),
        })
    }

    /// What was revoked through [`Self::revoke`], and how many entries the file has.
    pub(crate) fn revocations(&self) -> (Vec<Arc<Entry>>, usize) {
        (self.lasting.revoked.entries(Moment::now().s), self.serving.revoked.len())
    }
}

/// Why an entry was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unrevoked {
    /// No issuer of this node has this name.
    UnknownIssuer,
    /// There are as many entries as there may be.
    Full(usize),
    /// The change holds until a restart, since it could not be written.
    NotWritten(String),
}

/// How a token was shown, and what is done about its proof.
struct Proved<'a> {
    credential: &'a Credential<'a>,
    /// SHA-256 of the token.
    digest: &'a [u8; 32],
    effort: Effort,
}

/// Verifies a signature; with newer keys, where those that are known do not do and they may be waited for.
async fn verify(
    issuer: &Arc<Issuer>,
    token: &str,
    parts: &token::Unverified,
    effort: Effort,
    now: Moment,
) -> Result<Claims, Denial> {
    let first = issuer.verify(token, parts, now.at);
    if effort == Effort::AtHand || !matches!(first, Err(Denial::Token(Absence::UnknownKey) | Denial::KeysUnavailable)) {
        return first;
    }
    let refetched = issuer.refetch(now.at).await;
    match issuer.verify(token, parts, Instant::now()) {
        // The key may exist: that it cannot be asked for is not the caller's fault.
        Err(Denial::Token(Absence::UnknownKey)) if refetched == Refetched::Unavailable => Err(Denial::KeysUnavailable),
        verified => verified,
    }
}

/// Checks that a token bound to a certificate came with it (RFC 8705, section 3).
fn check_certificate(claims: &Claims, connection: &ConnectionInfo) -> Result<(), Denial> {
    let Some(bound) = &claims.binding.certificate else { return Ok(()) };
    let shown = connection.tls.as_ref().and_then(|tls| tls.client.as_ref()).ok_or(Denial::NoCertificate)?;
    if shown.fingerprint_sha256 == *bound { Ok(()) } else { Err(Denial::OtherCertificate) }
}

/// What is known of a request's caller, and what the answer should say of it.
pub(crate) struct Verified {
    pub(crate) identity: Identity,
    pub(crate) challenge: Challenge,
    denial: Option<Denial>,
    /// The nonce that the client should put into its next proof.
    pub(crate) nonce: Option<String>,
}

impl Verified {
    /// Why there is no identity, for the log; a closed set.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.denial.map(Denial::reason)
    }

    /// The answer to a request that policies would have to judge without knowing enough.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.denial.and_then(Denial::refusal)
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

    /// One claim as JSON text, borrowed where it was read before.
    pub(crate) fn claim_text(&self, pointer: &str) -> Option<Cow<'_, str>> {
        self.0.as_ref().ok().and_then(|claims| claims.claim(pointer))
    }
}

impl IdentityView for Identity {
    fn claims(&self) -> Result<&str, Absence> {
        self.0.as_ref().map(|claims| claims.text.as_str()).map_err(|absence| *absence)
    }

    fn claim(&self, pointer: &str) -> Option<Cow<'_, str>> {
        self.claim_text(pointer)
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
mod tests;
