#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

use super::*;
use crate::identity::sha256;

const NOW_S: u64 = 1_000_000;
const TOKEN: &str = "a.b.c";

struct Client {
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Client {
    fn of(algorithm: Algorithm) -> Self {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let pem = |pair: &KeyPair| pair.serialize_pem().into_bytes();
        let (key, jwk) = match algorithm {
            Algorithm::EdDSA => {
                let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key_raw())});
                (EncodingKey::from_ed_pem(&pem(&pair)).unwrap(), jwk)
            }
            Algorithm::ES256 | Algorithm::ES384 => {
                let (kind, curve) = match algorithm {
                    Algorithm::ES256 => (&PKCS_ECDSA_P256_SHA256, "P-256"),
                    _ => (&PKCS_ECDSA_P384_SHA384, "P-384"),
                };
                let pair = KeyPair::generate_for(kind).unwrap();
                let point = &pair.public_key_raw()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let jwk = json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)});
                (EncodingKey::from_ec_pem(&pem(&pair)).unwrap(), jwk)
            }
            _ => {
                let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
                let key = EncodingKey::from_rsa_pem(&pem(&pair)).unwrap();
                let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, algorithm).unwrap();
                let jwk = serde_json::to_value(jwk).unwrap();
                (key, json!({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]}))
            }
        };
        Self { algorithm, key, jwk }
    }

    fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": format!("{:?}", self.algorithm), "jwk": self.jwk})
    }

    fn sign(&self, header: &Value, payload: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(payload));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn thumbprint(&self) -> [u8; 32] {
        let jwk: key::Jwk = serde_json::from_value(self.jwk.clone()).unwrap();
        key::Key::of(&format!("{:?}", self.algorithm), &jwk).unwrap().thumbprint
    }
}

fn payload() -> Value {
    json!({
        "jti": "one", "htm": "POST", "htu": "https://api.test/v2/infer", "iat": NOW_S,
        "ath": URL_SAFE_NO_PAD.encode(sha256(TOKEN.as_bytes())),
    })
}

fn with(mut value: Value, name: &str, to: impl Into<Value>) -> Value {
    value[name] = to.into();
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

fn check(text: &str, key: &[u8; 32]) -> Result<(), Fault> {
    let addresses = [Target::parse("https://api.test/v2/infer").unwrap()];
    let expected = Expected {
        method: "POST",
        addresses: &addresses,
        token: &sha256(TOKEN.as_bytes()),
        key,
        window_s: 60,
        leeway_s: 5,
        now_s: NOW_S,
    };
    Proof::read(text)?.check(&expected)
}

#[test]
fn a_proof_of_every_algorithm_holds() {
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS256] {
        let client = Client::of(algorithm);
        let proof = client.sign(&client.header(), &payload());
        assert_eq!(check(&proof, &client.thumbprint()), Ok(()), "{algorithm:?}");
        assert!(ALGORITHMS.split(' ').any(|name| name == format!("{algorithm:?}")));
        // Its key may have a name and a use, which say nothing here.
        let jwk = with(with(client.jwk.clone(), "kid", "mine"), "use", "sig");
        assert_eq!(check(&client.sign(&with(client.header(), "jwk", jwk), &payload()), &client.thumbprint()), Ok(()));
    }
}

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    // RFC 7638, section 3.1, with its own key.
    let jwk = json!({"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
    let jwk: key::Jwk = serde_json::from_value(jwk).unwrap();
    let key = key::Key::of("RS256", &jwk).ok().unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(key.thumbprint), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn the_proof_of_rfc_9449_holds_for_its_request() {
    // RFC 9449, section 7.1: figure 13.
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
                 nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let read = Proof::read(proof).unwrap();
    let key = crate::identity::binding::digest("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap();
    let addresses = [Target::of("resource.example.org", "/protectedresource").unwrap()];
    let expected = Expected {
        method: "GET",
        addresses: &addresses,
        token: &sha256(token.as_bytes()),
        key: &key,
        window_s: 60,
        leeway_s: 5,
        now_s: 1_562_262_618,
    };
    assert_eq!(read.check(&expected), Ok(()));
    assert_eq!(read.jti(), "e1j3V_bKic8-LAEB");
    assert_eq!(read.issued_s(), Some(1_562_262_618));
}

#[test]
fn every_part_of_a_proof_must_be_right() {
    let client = Client::of(Algorithm::ES256);
    let (header, payload, key) = (client.header(), payload(), client.thumbprint());
    let jwk = |name: &str, to: &str| with(header.clone(), "jwk", with(client.jwk.clone(), name, to));
    for (what, header, payload, fault) in [
        ("another type", with(header.clone(), "typ", "JWT"), payload.clone(), Fault::Type),
        ("no type", without(header.clone(), "typ"), payload.clone(), Fault::Malformed),
        ("alg none", with(header.clone(), "alg", "none"), payload.clone(), Fault::Algorithm),
        ("a hash", with(header.clone(), "alg", "HS256"), payload.clone(), Fault::Algorithm),
        ("another algorithm's key", with(header.clone(), "alg", "EdDSA"), payload.clone(), Fault::Key),
        ("another curve", jwk("crv", "P-384"), payload.clone(), Fault::Key),
        ("a point that is too short", jwk("x", "AAAA"), payload.clone(), Fault::Key),
        ("a point in another alphabet", jwk("x", &"+".repeat(43)), payload.clone(), Fault::Key),
        (
            "a secret",
            with(header.clone(), "jwk", json!({"kty": "oct", "k": "AAAA"})),
            payload.clone(),
            Fault::PrivateKey,
        ),
        ("a private key", jwk("d", "AAAA"), payload.clone(), Fault::PrivateKey),
        ("no key", without(header.clone(), "jwk"), payload.clone(), Fault::Malformed),
        (
            "an extension it calls critical",
            with(header.clone(), "crit", json!(["b64"])),
            payload.clone(),
            Fault::Malformed,
        ),
        ("no jti", header.clone(), without(payload.clone(), "jti"), Fault::Malformed),
        ("an empty jti", header.clone(), with(payload.clone(), "jti", ""), Fault::Malformed),
        ("no ath", header.clone(), without(payload.clone(), "ath"), Fault::Malformed),
        ("another token", header.clone(), with(payload.clone(), "ath", "AAAA"), Fault::OtherToken),
        ("another method", header.clone(), with(payload.clone(), "htm", "GET"), Fault::Method),
        ("the method in small letters", header.clone(), with(payload.clone(), "htm", "post"), Fault::Method),
        ("another host", header.clone(), with(payload.clone(), "htu", "https://evil.test/v2/infer"), Fault::Address),
        ("another path", header.clone(), with(payload.clone(), "htu", "https://api.test/v2/infer/"), Fault::Address),
        ("another scheme", header.clone(), with(payload.clone(), "htu", "http://api.test/v2/infer"), Fault::Address),
        ("made too long ago", header.clone(), with(payload.clone(), "iat", NOW_S - 61), Fault::Time),
        ("made later than now", header.clone(), with(payload.clone(), "iat", NOW_S + 6), Fault::Time),
        ("made before there was time", header.clone(), with(payload.clone(), "iat", -1), Fault::Time),
        ("no time", header.clone(), without(payload.clone(), "iat"), Fault::Malformed),
        ("expired", header.clone(), with(payload.clone(), "exp", NOW_S), Fault::Time),
        ("not yet valid", header.clone(), with(payload.clone(), "nbf", NOW_S + 6), Fault::Time),
    ] {
        assert_eq!(check(&client.sign(&header, &payload), &key), Err(fault), "{what}");
    }
    for (what, payload) in [
        ("as old as it may be", with(payload.clone(), "iat", NOW_S - 60)),
        ("as early as it may be", with(payload.clone(), "iat", NOW_S + 5)),
        ("a time with a fraction", with(payload.clone(), "iat", NOW_S as f64 + 0.5)),
        ("an address with a query", with(payload.clone(), "htu", "https://API.test:443/v2/infer?a=b#c")),
        ("a nonce that nobody asked for", with(payload, "nonce", "x")),
    ] {
        assert_eq!(check(&client.sign(&header, &payload), &key), Ok(()), "{what}");
    }
}

#[test]
fn another_key_proves_nothing_whatever_it_claims() {
    let (client, thief) = (Client::of(Algorithm::ES256), Client::of(Algorithm::ES256));
    let key = client.thumbprint();
    assert_eq!(check(&thief.sign(&thief.header(), &payload()), &key), Err(Fault::OtherKey));
    assert_eq!(check(&thief.sign(&client.header(), &payload()), &key), Err(Fault::Signature));
    let good = client.sign(&client.header(), &payload());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(with(payload(), "jti", "two").to_string());
    assert_eq!(check(&format!("{header}.{other}.{signature}"), &key), Err(Fault::Signature));
    assert_eq!(check(&format!("{message}."), &key), Err(Fault::Signature));
    assert_eq!(check(message, &key), Err(Fault::Malformed));
    assert_eq!(check(&format!("{good}.x"), &key), Err(Fault::Malformed));
    assert_eq!(check("", &key), Err(Fault::Malformed));
}

#[test]
fn a_key_that_only_costs_time_is_none() {
    let jwk = |n: usize, e: usize| {
        let text = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
        serde_json::from_value::<key::Jwk>(json!({"kty": "RSA", "n": text(n), "e": text(e)})).unwrap()
    };
    assert!(key::Key::of("PS256", &jwk(256, 3)).is_ok());
    for (n, e) in [(255, 3), (513, 3), (256, 5), (256, 0)] {
        assert_eq!(key::Key::of("PS256", &jwk(n, e)).err(), Some(Fault::Key), "{n} {e}");
    }
}

#[test]
fn one_proof_or_none() {
    let mut headers = HeaderMap::new();
    assert_eq!(shown(&headers), Ok(None));
    headers.append(DPOP, "a.b.c".parse().unwrap());
    assert_eq!(shown(&headers), Ok(Some("a.b.c")));
    headers.append(DPOP, "a.b.c".parse().unwrap());
    assert_eq!(shown(&headers), Err(Fault::Several));
    headers.insert(DPOP, "x".repeat(PROOF_MAX_BYTES + 1).parse().unwrap());
    assert_eq!(shown(&headers), Err(Fault::TooLong));
    headers.insert(DPOP, http::HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(shown(&headers), Err(Fault::Malformed));
}

#[test]
fn an_operators_origins_replace_what_a_request_says() {
    let asked: Authority = "Evil.test:443".parse().unwrap();
    let by_request = addresses(&[], Some(&asked), "/a");
    assert_eq!(by_request, [Target::parse("https://evil.test/a").unwrap()]);
    let origins = ["api.test".to_owned(), "api.test:8443".to_owned()];
    let by_operator = addresses(&origins, Some(&asked), "/a");
    assert_eq!(by_operator.len(), 2);
    assert!(!by_operator.contains(&by_request[0]));
    assert!(addresses(&[], None, "/a").is_empty());
}

fn json_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(json!({})),
        Just(json!([])),
    ]
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC*") {
        let _ = check(&text, &[0; 32]);
    }

    #[test]
    fn no_member_of_another_kind_passes_or_panics(
        member in prop::sample::select(vec!["typ", "alg", "jwk", "jti", "htm", "htu", "iat", "ath", "nonce", "exp", "nbf"]),
        value in json_value(),
    ) {
        let in_header = ["typ", "alg", "jwk"].contains(&member);
        let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43)}});
        let (header, payload) =
            if in_header { (with(header, member, value), payload()) } else { (header, with(payload(), member, value)) };
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}.AAAA", part(&header), part(&payload));
        prop_assert!(check(&text, &[0; 32]).is_err());
    }
}
