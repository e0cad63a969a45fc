//! One proof: read, compared with the request, and last its signature checked (RFC 9449, section 4.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Fault;
use super::key::{Jwk, Key};
use super::target::Target;
use crate::identity::token::json;

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
    /// Extensions that must be understood (RFC 7515, section 4.1.11). We understand none.
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    jti: String,
    htm: String,
    htu: String,
    iat: f64,
    ath: String,
    nonce: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// A proof whose form is right; its signature was not looked at.
pub(in crate::identity) struct Proof<'a> {
    message: &'a str,
    signature: &'a str,
    key: Key,
    payload: Payload,
}

/// What the proof of a request must be for.
pub(in crate::identity) struct Expected<'a> {
    /// Method, as sent.
    pub(in crate::identity) method: &'a str,
    /// The request's address, as its client may write it.
    pub(in crate::identity) addresses: &'a [Target],
    /// SHA-256 of the token.
    pub(in crate::identity) token: &'a [u8; 32],
    /// Thumbprint of the key that the token is bound to.
    pub(in crate::identity) key: &'a [u8; 32],
    /// How old a proof may be.
    pub(in crate::identity) window_s: u64,
    /// Clock difference forgiven for one that was made later than now.
    pub(in crate::identity) leeway_s: u64,
    /// Seconds since 1970.
    pub(in crate::identity) now_s: u64,
}

impl<'a> Proof<'a> {
    /// Reads a proof.
    pub(in crate::identity) fn read(text: &'a str) -> Result<Self, Fault> {
        let (message, signature) = text.rsplit_once('.').ok_or(Fault::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Fault::Malformed)?;
        let header: Header = json(header).map_err(|_| Fault::Malformed)?;
        if header.typ != "dpop+jwt" {
            return Err(Fault::Type);
        }
        if header.crit.is_some() {
            return Err(Fault::Malformed);
        }
        let key = Key::of(&header.alg, &header.jwk)?;
        let payload: Payload = json(payload).map_err(|_| Fault::Malformed)?;
        if payload.jti.is_empty() {
            return Err(Fault::Malformed);
        }
        Ok(Self { message, signature, key, payload })
    }

    /// Checks the proof. What is cheap comes first: a stranger's proof costs no signature check.
    pub(in crate::identity) fn check(&self, expected: &Expected<'_>) -> Result<(), Fault> {
        let Payload { htm, htu, ath, .. } = &self.payload;
        if self.key.thumbprint != *expected.key {
            return Err(Fault::OtherKey);
        }
        if *ath != URL_SAFE_NO_PAD.encode(expected.token) {
            return Err(Fault::OtherToken);
        }
        if htm != expected.method {
            return Err(Fault::Method);
        }
        let address = Target::parse(htu).ok_or(Fault::Address)?;
        if !expected.addresses.contains(&address) {
            return Err(Fault::Address);
        }
        self.check_times(expected)?;
        match crypto::verify(self.signature, self.message.as_bytes(), &self.key.decoding, self.key.algorithm) {
            Ok(true) => Ok(()),
            _ => Err(Fault::Signature),
        }
    }

    fn check_times(&self, expected: &Expected<'_>) -> Result<(), Fault> {
        let Expected { now_s, window_s, leeway_s, .. } = *expected;
        let latest_s = now_s.saturating_add(leeway_s);
        let issued_s = self.issued_s().ok_or(Fault::Time)?;
        // Proofs need neither `exp` nor `nbf`; one that has them means them.
        let expired = self.payload.exp.is_some_and(|exp| seconds(exp).is_none_or(|exp_s| exp_s <= now_s));
        let early = self.payload.nbf.is_some_and(|nbf| seconds(nbf).is_none_or(|nbf_s| nbf_s > latest_s));
        if issued_s > latest_s || issued_s.saturating_add(window_s) < now_s || expired || early {
            return Err(Fault::Time);
        }
        Ok(())
    }

    /// When it was made, by its own clock; None where it does not say.
    pub(in crate::identity) fn issued_s(&self) -> Option<u64> {
        seconds(self.payload.iat)
    }

    /// Its own name.
    pub(in crate::identity) fn jti(&self) -> &str {
        &self.payload.jti
    }

    /// The nonce it was given.
    pub(in crate::identity) fn nonce(&self) -> Option<&str> {
        self.payload.nonce.as_deref()
    }
}

/// A NumericDate in whole seconds.
fn seconds(date: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates")]
    (date.is_finite() && date >= 0.0).then_some(date as u64)
}
