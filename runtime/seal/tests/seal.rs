//! Sealing from outside: what opens, what does not, and that others read it the same way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_seal::{Keyring, SealError};
use proptest::prelude::*;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const CONTEXT: &str = "input/m/x/FP32/2,3";

fn keyring() -> Keyring {
    let mut keyring = Keyring::new();
    keyring.insert("records", std::array::from_fn(|index| u8::try_from(index).unwrap()));
    keyring.insert("other", [9; 32]);
    keyring
}

/// The key of a JWK, as another program reads it.
fn key_of(jwk: &str) -> Vec<u8> {
    let jwk: serde_json::Value = serde_json::from_str(jwk).unwrap();
    assert_eq!(jwk["kty"], "oct");
    URL_SAFE_NO_PAD.decode(jwk["k"].as_str().unwrap()).unwrap()
}

/// Decryption step by step as in RFC 7516, section 5.2, without this crate.
fn open_by_hand(key: &[u8], jwe: &str) -> (serde_json::Value, Vec<u8>) {
    let parts: Vec<&str> = jwe.split('.').collect();
    assert_eq!((parts.len(), parts[1]), (5, ""));
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let header = serde_json::from_slice(&bytes(parts[0])).unwrap();
    let mut sealed = [bytes(parts[3]), bytes(parts[4])].concat();
    let nonce = Nonce::try_assume_unique_for_key(&bytes(parts[2])).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    (header, key.open_in_place(nonce, Aad::from(parts[0].as_bytes()), &mut sealed).unwrap().to_vec())
}

#[test]
fn a_sealed_value_opens_by_hand() {
    let keyring = keyring();
    let jwe = keyring.seal("records", "acme", CONTEXT, b"a patient's record").unwrap();
    let (header, plaintext) = open_by_hand(&key_of(&keyring.jwk("records", "acme").unwrap()), &jwe);
    assert_eq!(plaintext, b"a patient's record");
    let expected = serde_json::json!({"alg":"dir","enc":"A256GCM","kid":"records","tnt":"acme","ctx":CONTEXT});
    assert_eq!(header, expected);
}

/// Made with Python: HKDF by `cryptography`, the JWE by `jwcrypto`.
#[test]
fn another_librarys_value_opens_here() {
    let jwe = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoicmVjb3JkcyIsInRudCI6ImFjbWUiLCJjdHgiOiJpbnB1dC9tL3gvRlAzMi8yLDMifQ..uzGDHf8SPKatThut.wzhBzKXY8s97zNoldehJPoFY.mISJiwm3Nzd7OYgADRUmaA";
    assert_eq!(keyring().open("records", "acme", CONTEXT, jwe).unwrap(), b"a patient's record");
    let key = key_of(&keyring().jwk("records", "acme").unwrap());
    assert_eq!(URL_SAFE_NO_PAD.encode(key), "31DEXrpwJ2T0YTufKdACbu1L-kqGR9T0HfkPbwQug0Y");
}

#[test]
fn only_the_same_key_tenant_and_context_open() {
    let keyring = keyring();
    let jwe = keyring.seal("records", "acme", CONTEXT, b"x").unwrap();
    assert_eq!(Keyring::tenant_of(&jwe).unwrap(), "acme");
    assert_eq!(keyring.open("records", "acme", CONTEXT, &jwe).unwrap(), b"x");
    for (key, tenant, context) in
        [("other", "acme", CONTEXT), ("records", "globex", CONTEXT), ("records", "acme", "output/m/x/FP32/2,3")]
    {
        let error = keyring.open(key, tenant, context, &jwe).unwrap_err();
        assert!(matches!(error, SealError::Refused), "{key} {tenant} {context}: {error}");
    }
    assert!(matches!(keyring.open("none", "acme", CONTEXT, &jwe), Err(SealError::UnknownKey(_))));
}

#[test]
fn a_header_rewritten_for_another_tenant_does_not_open() {
    let keyring = keyring();
    let jwe = keyring.seal("records", "acme", CONTEXT, b"x").unwrap();
    let (header, rest) = jwe.split_once('.').unwrap();
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(text.replace("acme", "evil")));
    assert!(matches!(keyring.open("records", "evil", CONTEXT, &forged), Err(SealError::Refused)));
    // The same header in other words is another header, since its text is what is authenticated.
    let spaced = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(text.replace(',', ", ")));
    assert!(matches!(keyring.open("records", "acme", CONTEXT, &spaced), Err(SealError::Refused)));
}

#[test]
fn an_altered_part_does_not_open() {
    let keyring = keyring();
    let jwe = keyring.seal("records", "acme", CONTEXT, b"a patient's record").unwrap();
    let parts: Vec<&str> = jwe.split('.').collect();
    for index in [0, 2, 3, 4] {
        let mut bytes = URL_SAFE_NO_PAD.decode(parts[index]).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let altered = URL_SAFE_NO_PAD.encode(&bytes);
            bytes[at] ^= 1;
            let mut forged = parts.clone();
            forged[index] = &altered;
            assert!(keyring.open("records", "acme", CONTEXT, &forged.join(".")).is_err(), "part {index}, byte {at}");
        }
    }
}

#[test]
fn other_shapes_are_not_sealed_values() {
    let keyring = keyring();
    let jwe = keyring.seal("records", "acme", CONTEXT, b"xy").unwrap();
    let [header, _, nonce, ciphertext, tag] = jwe.split('.').collect::<Vec<_>>().try_into().unwrap();
    let spelled = |json: &str| format!("{}..{nonce}.{ciphertext}.{tag}", URL_SAFE_NO_PAD.encode(json));
    let others = [
        String::new(),
        "....".into(),
        format!("{header}..{nonce}.{ciphertext}"),
        format!("{jwe}."),
        format!("{jwe}="),
        format!(" {jwe}"),
        format!("{header}.a2V5.{nonce}.{ciphertext}.{tag}"),
        format!("{header}..{ciphertext}.{ciphertext}.{tag}"),
        format!("{header}..{nonce}.{ciphertext}.{nonce}"),
        // Two bytes take three characters, whose last has two bits to spare: only zeros are base64url.
        format!("{header}..{nonce}.{}.{tag}", ciphertext.replace(|_: char| true, "_")),
        spelled(r#"["dir","A256GCM","records","acme","input/m/x/FP32/2,3"]"#),
        spelled(r#"{"alg":"none","enc":"A256GCM","kid":"records","tnt":"acme","ctx":"c"}"#),
        spelled(r#"{"alg":"dir","enc":"A128GCM","kid":"records","tnt":"acme","ctx":"c"}"#),
        spelled(r#"{"alg":"dir","enc":"A256GCM","kid":"records","tnt":"acme","ctx":"c","zip":"DEF"}"#),
        spelled(r#"{"alg":"dir","enc":"A256GCM","kid":"records","tnt":"acme"}"#),
    ];
    for other in others {
        let error = keyring.open("records", "acme", CONTEXT, &other).unwrap_err();
        assert!(matches!(error, SealError::Malformed(_)), "{other}: {error}");
    }
}

#[test]
fn nothing_is_sealed_that_would_not_be_read() {
    let error = keyring().seal("records", "acme", &"c".repeat(10_000), b"x").unwrap_err();
    assert!(matches!(error, SealError::HeaderTooLong));
}

#[test]
fn nothing_prints_a_key() {
    assert_eq!(format!("{:?}", keyring()), r#"{"other", "records"}"#);
}

proptest! {
    #[test]
    fn what_is_sealed_opens(tenant in ".{0,20}", context in ".{0,40}", plaintext in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keyring = keyring();
        let jwe = keyring.seal("records", &tenant, &context, &plaintext).unwrap();
        prop_assert!(jwe.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        prop_assert_eq!(Keyring::tenant_of(&jwe).unwrap(), &*tenant);
        prop_assert_eq!(keyring.open("records", &tenant, &context, &jwe).unwrap(), plaintext);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "[a-zA-Z0-9._=-]{0,200}|.{0,50}") {
        prop_assert!(keyring().open("records", "acme", CONTEXT, &text).is_err());
        let _ = Keyring::tenant_of(&text);
    }
}
