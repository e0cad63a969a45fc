//! What a compact JWS (RFC 7515, section 7.1) says before it is believed: enough to find the key, and no more.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_policy::Absence;
use serde::Deserialize;

/// The unverified parts that choose the issuer and the key.
#[derive(Debug)]
pub(super) struct Unverified {
    pub(super) issuer: String,
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, section 4.1.11). We understand none.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    iss: Option<String>,
}

impl Unverified {
    /// Reads header and issuer of `token`. Keys that a token brings along (`jwk`, `jku`, `x5u`, `x5c`) are not read.
    pub(super) fn read(token: &str) -> Result<Self, Absence> {
        let (header, rest) = token.split_once('.').ok_or(Absence::Malformed)?;
        let (payload, _signature) = rest.split_once('.').ok_or(Absence::Malformed)?;
        let header: Header = json(header)?;
        if header.crit.is_some() {
            return Err(Absence::Malformed);
        }
        let payload: Payload = json(payload)?;
        let issuer = payload.iss.ok_or(Absence::MissingClaim)?;
        Ok(Self { issuer, algorithm: header.alg, key_id: header.kid })
    }
}

/// One base64url part as JSON with nothing after it.
pub(super) fn json<'a, T: Deserialize<'a>>(part: &str) -> Result<T, Absence> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Absence::Malformed)?;
    let mut reader = serde_json::Deserializer::from_reader(bytes.as_slice());
    T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(|_| Absence::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn reads_what_finds_the_key() {
        let read = Unverified::read(&token(r#"{"alg":"ES256","kid":"k1"}"#, r#"{"iss":"me"}"#)).unwrap();
        assert_eq!(
            (read.issuer.as_str(), read.algorithm.as_str(), read.key_id.as_deref()),
            ("me", "ES256", Some("k1"))
        );
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        let crit = token(r#"{"alg":"ES256","crit":["exp"]}"#, r#"{"iss":"me"}"#);
        assert_eq!(Unverified::read(&crit).unwrap_err(), Absence::Malformed);
        assert_eq!(Unverified::read(&token(r#"{"alg":"ES256"}"#, "{}")).unwrap_err(), Absence::MissingClaim);
        assert_eq!(Unverified::read("a.b.c").unwrap_err(), Absence::Malformed);
        assert_eq!(Unverified::read(&token(r#"{"alg":"ES256"} x"#, "{}")).unwrap_err(), Absence::Malformed);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = Unverified::read(&text);
        }
    }
}
