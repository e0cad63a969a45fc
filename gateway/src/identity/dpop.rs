//! Proofs of possession (RFC 9449): a token that is bound to a key is good only together with a proof, made for this one
//! request and signed with that key.
//!
//! What others got wrong and is held here: the proof's key must be the token's (a valid proof by any key proves nothing); a
//! bound token shown as a bearer's is refused, with a proof or without; a proof is remembered for as long as it could be
//! accepted, counted from its own `iat`, and only after everything else about it held, so that nobody can spend
//! another's.

use http::HeaderMap;
use http::uri::Authority;

mod key;
mod nonce;
mod proof;
mod replay;
mod target;

pub(crate) use key::ALGORITHMS;
pub(super) use nonce::Nonces;
pub(super) use proof::{Expected, Proof};
pub(super) use replay::{Came, Replays, Unremembered};
pub(super) use target::Target;
pub(crate) use target::normal_authority;

/// The field that carries a proof.
pub(crate) const DPOP: &str = "dpop";
/// Longest proof that is looked at.
const PROOF_MAX_BYTES: usize = 4 * 1024;

/// What is wrong with a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There are several (RFC 9449, section 4.3, item 1).
    Several,
    /// It is longer than it may be.
    TooLong,
    /// It is not a JWS with the parameters and claims of a proof.
    Malformed,
    /// Its `typ` is not `dpop+jwt`.
    Type,
    /// Its `alg` is not one of ours.
    Algorithm,
    /// Its `jwk` is not a public key for its `alg`.
    Key,
    /// Its `jwk` holds a private key.
    PrivateKey,
    /// Its key is not the one that the token is bound to.
    OtherKey,
    /// It is for another method.
    Method,
    /// It is for another address.
    Address,
    /// It is for another token.
    OtherToken,
    /// It was made too long ago, or later than now.
    Time,
    /// Its signature does not fit.
    Signature,
    /// It came before.
    Replayed,
}

impl Fault {
    /// What the log is told.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Several => "proof-several",
            Self::TooLong => "proof-too-long",
            Self::Malformed => "proof-malformed",
            Self::Type => "proof-type",
            Self::Algorithm => "proof-algorithm",
            Self::Key => "proof-key",
            Self::PrivateKey => "proof-private-key",
            Self::OtherKey => "proof-other-key",
            Self::Method => "proof-method",
            Self::Address => "proof-address",
            Self::OtherToken => "proof-other-token",
            Self::Time => "proof-time",
            Self::Signature => "proof-signature",
            Self::Replayed => "proof-replayed",
        }
    }
}

/// The one proof of a request, as text.
pub(super) fn shown(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let mut values = headers.get_all(DPOP).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Fault::Several);
    }
    if value.len() > PROOF_MAX_BYTES {
        return Err(Fault::TooLong);
    }
    value.to_str().map(Some).map_err(|_| Fault::Malformed)
}

/// Where a request goes, as its client may have written it: by the origins that an operator names, or by what the request
/// itself calls this node.
pub(super) fn addresses(origins: &[String], asked: Option<&Authority>, path: &str) -> Vec<Target> {
    if origins.is_empty() {
        return asked.and_then(|authority| Target::of(authority.as_str(), path)).into_iter().collect();
    }
    origins.iter().filter_map(|origin| Target::of(origin, path)).collect()
}

#[cfg(test)]
mod tests;
