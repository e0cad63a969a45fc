//! Why a request has no verified identity: precise for the log, coarse for plugins, and sometimes nobody's fault but
//! ours or the issuer's.

use std::time::Duration;

use forebay_http::ProblemType;
use forebay_policy::Absence;
use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;

use super::dpop::Fault;
use crate::error::Refusal;

/// When to come back for what heals by itself.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why there is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The token is at fault, or there is none.
    Token(Absence),
    /// Its `cnf` names no key or certificate in a way that can be checked.
    UnknownBinding,
    /// The issuer's tokens must be bound to a key, and this one is not.
    Unbound,
    /// The token is bound to a key, and came without the scheme `DPoP` or without a proof.
    NoProof,
    /// The scheme `DPoP` with a token that is bound to no key, or from an issuer whose proofs are not taken.
    NotForProofs,
    /// The proof is wrong.
    Proof(Fault),
    /// The proof needs a nonce of this node.
    NonceWanted,
    /// The token is bound to a certificate, and the connection has none.
    NoCertificate,
    /// The token is bound to another certificate.
    OtherCertificate,
    /// The issuer's keys are not known, or too old to be believed.
    KeysUnavailable,
    /// There is no room to remember another proof, so a replay could not be told.
    ProofsFull,
}

impl From<Absence> for Denial {
    fn from(absence: Absence) -> Self {
        Self::Token(absence)
    }
}

impl Denial {
    /// What a plugin is told. The contract's cases cannot grow, so each reason has its nearest.
    pub(super) fn absence(self) -> Absence {
        match self {
            Self::Token(absence) => absence,
            Self::UnknownBinding => Absence::Malformed,
            Self::Unbound | Self::NoProof | Self::NoCertificate | Self::NonceWanted => Absence::MissingClaim,
            Self::NotForProofs | Self::Proof(_) | Self::OtherCertificate | Self::ProofsFull => Absence::BadSignature,
            Self::KeysUnavailable => Absence::UnknownKey,
        }
    }

    /// What the log is told; a closed set.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Token(absence) => token_reason(absence),
            Self::UnknownBinding => "token-unknown-binding",
            Self::Unbound => "token-unbound",
            Self::NoProof => "token-bound-no-proof",
            Self::NotForProofs => "token-not-for-proofs",
            Self::Proof(fault) => fault.reason(),
            Self::NonceWanted => "proof-nonce-wanted",
            Self::NoCertificate => "token-bound-no-certificate",
            Self::OtherCertificate => "token-bound-other-certificate",
            Self::KeysUnavailable => "issuer-keys-unavailable",
            Self::ProofsFull => "proofs-full",
        }
    }

    /// The answer that no plugin can give: the token may well be good, or a retry with a nonce is asked for.
    pub(super) fn refusal(self) -> Option<Refusal> {
        match self {
            Self::KeysUnavailable => Some(
                Refusal::new(ProblemType::KeysUnavailable, "tokens of this issuer cannot be checked at present")
                    .retry_after(RETRY_AFTER),
            ),
            Self::ProofsFull => Some(
                Refusal::new(ProblemType::Overloaded, "too many proofs came in a short time").retry_after(RETRY_AFTER),
            ),
            // RFC 9449, section 9. The nonce itself is in `DPoP-Nonce`, as on other answers.
            Self::NonceWanted => Some(
                Refusal::new(ProblemType::InvalidToken, "the proof needs the nonce that comes with this answer")
                    .header(
                        WWW_AUTHENTICATE,
                        HeaderValue::from_static(
                            "DPoP error=\"use_dpop_nonce\", error_description=\"the proof needs a nonce of this node\"",
                        ),
                    ),
            ),
            _ => None,
        }
    }
}

fn token_reason(absence: Absence) -> &'static str {
    match absence {
        Absence::Missing => "token-missing",
        Absence::Malformed => "token-malformed",
        Absence::UnknownIssuer => "token-unknown-issuer",
        Absence::UnknownKey => "token-unknown-key",
        Absence::BadAlgorithm => "token-bad-algorithm",
        Absence::BadSignature => "token-bad-signature",
        Absence::Expired => "token-expired",
        Absence::NotYetValid => "token-not-yet-valid",
        Absence::WrongAudience => "token-wrong-audience",
        Absence::MissingClaim => "token-missing-claim",
        Absence::Revoked => "token-revoked",
    }
}
