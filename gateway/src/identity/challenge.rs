//! What a refusal says of how to show a token.
//!
//! A plugin that refuses makes the challenge of a bearer (RFC 6750), since the contract tells it only that there is no
//! identity. Whether a proof was shown, or is wanted, is known here: the plugin's challenge is given the scheme that the
//! client used, and the scheme `DPoP` is offered where it would have helped (RFC 9449, sections 7.1 and 7.2). A status is
//! never changed, and nothing is added to an answer that has no challenge.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};

use super::credential::Scheme;
use super::denial::Denial;
use super::dpop;

/// What the request tells about its challenge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The token was shown with the scheme `DPoP`.
    shown_as_dpop: bool,
    /// The proof was at fault, not the token.
    proof_at_fault: bool,
    /// `DPoP` should be offered beside what a plugin asks for.
    offer: bool,
}

impl Challenge {
    /// The challenge to a request with this scheme and this outcome; `wanted`: some issuer wants proofs.
    pub(super) fn of(scheme: Option<Scheme>, denial: Option<Denial>, wanted: bool) -> Self {
        let shown_as_dpop = scheme == Some(Scheme::Dpop);
        let bound = matches!(denial, Some(Denial::NoProof | Denial::Unbound));
        Self {
            shown_as_dpop,
            proof_at_fault: matches!(denial, Some(Denial::Proof(_))),
            offer: !shown_as_dpop && (bound || (wanted && denial.is_some())),
        }
    }

    /// Completes the challenges of a response.
    pub(crate) fn complete(self, headers: &mut HeaderMap) {
        if !headers.contains_key(WWW_AUTHENTICATE) || !(self.shown_as_dpop || self.offer) {
            return;
        }
        if self.shown_as_dpop {
            let completed: Vec<HeaderValue> =
                headers.get_all(WWW_AUTHENTICATE).iter().map(|value| self.as_dpop(value)).collect();
            headers.remove(WWW_AUTHENTICATE);
            for value in completed {
                headers.append(WWW_AUTHENTICATE, value);
            }
        } else if let Ok(offer) = HeaderValue::try_from(format!("DPoP algs=\"{}\"", dpop::ALGORITHMS)) {
            headers.append(WWW_AUTHENTICATE, offer);
        }
    }

    /// A bearer's challenge as one of DPoP, which has the same parameters and `algs` beside them. Others stay.
    fn as_dpop(self, value: &HeaderValue) -> HeaderValue {
        let Ok(text) = value.to_str() else { return value.clone() };
        let Some(parameters) = text.strip_prefix("Bearer ") else { return value.clone() };
        // The description is of a token, which is not what was wrong.
        let parameters = match parameters.split_once("error=\"invalid_token\"") {
            Some((before, _)) if self.proof_at_fault => format!("{before}error=\"invalid_dpop_proof\""),
            _ => parameters.to_owned(),
        };
        HeaderValue::try_from(format!("DPoP {parameters}, algs=\"{}\"", dpop::ALGORITHMS))
            .unwrap_or_else(|_| value.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use forebay_policy::Absence;

    use super::super::dpop::Fault;
    use super::*;

    const INVALID: &str = "Bearer realm=\"forebay\", error=\"invalid_token\", error_description=\"not valid here\"";

    fn completed(challenge: Challenge, values: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        challenge.complete(&mut headers);
        headers.get_all(WWW_AUTHENTICATE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_bearer_is_told_what_the_plugin_says() {
        let bearer = Some(Scheme::Bearer);
        let challenge = Challenge::of(bearer, Some(Absence::Expired.into()), false);
        assert_eq!(completed(challenge, &[INVALID]), [INVALID]);
        assert_eq!(completed(Challenge::of(None, Some(Absence::Missing.into()), false), &["Bearer"]), ["Bearer"]);
        assert!(completed(Challenge::of(bearer, Some(Denial::NoProof), true), &[]).is_empty());
    }

    #[test]
    fn proofs_are_offered_where_they_would_have_helped() {
        let offer = format!("DPoP algs=\"{}\"", dpop::ALGORITHMS);
        let bearer = Some(Scheme::Bearer);
        for challenge in [
            Challenge::of(bearer, Some(Denial::NoProof), false),
            Challenge::of(bearer, Some(Denial::Unbound), false),
            Challenge::of(None, Some(Absence::Missing.into()), true),
        ] {
            assert_eq!(completed(challenge, &[INVALID]), [INVALID, &offer]);
        }
        // A scope that is missing is not made up for by a proof.
        assert_eq!(completed(Challenge::of(bearer, None, true), &[INVALID]), [INVALID]);
    }

    #[test]
    fn a_challenge_has_the_scheme_that_was_shown() {
        let dpop = Some(Scheme::Dpop);
        let algs = format!("algs=\"{}\"", dpop::ALGORITHMS);
        let at_fault = Challenge::of(dpop, Some(Denial::Proof(Fault::Replayed)), false);
        let expected = format!("DPoP realm=\"forebay\", error=\"invalid_dpop_proof\", {algs}");
        assert_eq!(completed(at_fault, &[INVALID, "Basic realm=\"x\""]), [&expected, "Basic realm=\"x\""]);
        let expired = Challenge::of(dpop, Some(Absence::Expired.into()), false);
        assert_eq!(completed(expired, &[INVALID]), [format!("{}, {algs}", INVALID.replacen("Bearer", "DPoP", 1))]);
        let scope = "Bearer realm=\"forebay\", error=\"insufficient_scope\", scope=\"infer\"";
        let known = Challenge::of(dpop, None, true);
        assert_eq!(completed(known, &[scope]), [format!("{}, {algs}", scope.replacen("Bearer", "DPoP", 1))]);
    }
}
