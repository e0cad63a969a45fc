//! The public key inside a proof, and its thumbprint (RFC 7638).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use ring::digest;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Fault;

/// The algorithms that proofs may have, as a challenge lists them: all of them sign with a private key.
pub(crate) const ALGORITHMS: &str = "ES256 ES384 EdDSA PS256 RS256";

/// Bounds on the modulus of an RSA key. A longer one only costs time.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// Longest exponent of an RSA key: verification takes time in proportion to it.
const RSA_EXPONENT_MAX_BYTES: usize = 4;

/// A `jwk` as it is written.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

/// A public key for one algorithm.
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    /// SHA-256 thumbprint.
    pub(super) thumbprint: [u8; 32],
}

impl Key {
    /// The key in `jwk`, if it is public and of the kind that `algorithm` needs.
    pub(super) fn of(algorithm: &str, jwk: &Jwk) -> Result<Self, Fault> {
        let private = [&jwk.d, &jwk.p, &jwk.q, &jwk.dp, &jwk.dq, &jwk.qi, &jwk.oth, &jwk.k];
        if private.iter().any(|member| member.is_some()) {
            return Err(Fault::PrivateKey);
        }
        // Members are written as they came: strict base64url has one text for each value.
        let (algorithm, decoding, canonical) = match algorithm {
            "ES256" => curve(jwk, Algorithm::ES256, "P-256", 32)?,
            "ES384" => curve(jwk, Algorithm::ES384, "P-384", 48)?,
            "EdDSA" => edwards(jwk)?,
            "RS256" => rsa(jwk, Algorithm::RS256)?,
            "PS256" => rsa(jwk, Algorithm::PS256)?,
            _ => return Err(Fault::Algorithm),
        };
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        Ok(Self { algorithm, decoding, thumbprint })
    }
}

type Parts = (Algorithm, DecodingKey, String);

fn curve(jwk: &Jwk, algorithm: Algorithm, name: &str, bytes: usize) -> Result<Parts, Fault> {
    if jwk.kty != "EC" || jwk.crv.as_deref() != Some(name) {
        return Err(Fault::Key);
    }
    let (x, y) = (member(&jwk.x, |len| len == bytes)?, member(&jwk.y, |len| len == bytes)?);
    let decoding = DecodingKey::from_ec_components(x, y).map_err(|_| Fault::Key)?;
    Ok((algorithm, decoding, format!(r#"{{"crv":"{name}","kty":"EC","x":"{x}","y":"{y}"}}"#)))
}

fn edwards(jwk: &Jwk) -> Result<Parts, Fault> {
    if jwk.kty != "OKP" || jwk.crv.as_deref() != Some("Ed25519") {
        return Err(Fault::Key);
    }
    let x = member(&jwk.x, |len| len == 32)?;
    let decoding = DecodingKey::from_ed_components(x).map_err(|_| Fault::Key)?;
    Ok((Algorithm::EdDSA, decoding, format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

fn rsa(jwk: &Jwk, algorithm: Algorithm) -> Result<Parts, Fault> {
    if jwk.kty != "RSA" {
        return Err(Fault::Key);
    }
    let n = member(&jwk.n, |len| RSA_BYTES.contains(&len))?;
    let e = member(&jwk.e, |len| (1..=RSA_EXPONENT_MAX_BYTES).contains(&len))?;
    let decoding = DecodingKey::from_rsa_components(n, e).map_err(|_| Fault::Key)?;
    Ok((algorithm, decoding, format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)))
}

/// A member that is strict base64url of a number or point of a fitting length in bytes.
fn member(text: &Option<String>, fits: impl Fn(usize) -> bool) -> Result<&str, Fault> {
    let text = text.as_deref().ok_or(Fault::Key)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Key)?;
    if fits(bytes.len()) { Ok(text) } else { Err(Fault::Key) }
}
