#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const WASM: [u8; 32] = [7; 32];

fn statement() -> Statement {
    Statement {
        sha256: WASM,
        name: "access".to_owned(),
        version: Version::new(1, 2, 0),
        imports: BTreeSet::from(["http".to_owned(), "identity".to_owned()]),
    }
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

fn signers(keys: &[&SigningKey]) -> Signers {
    Signers::new(keys.iter().map(|key| key.verifying_key()).collect())
}

#[test]
fn a_signature_of_a_signer_counts_and_says_what_was_signed() {
    let (key, other) = (key(), key());
    let signed = key.sign(statement()).unwrap();
    let read = Signed::from_json(signed.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(read, signed);
    let verified = signers(&[&other, &key]).verify(&read, &WASM, "access", None).unwrap();
    assert_eq!(verified, Verified { statement: statement(), signer: key.verifying_key().id() });
    signers(&[&key]).verify(&read, &WASM, "access", Some(&Version::new(1, 2, 0))).unwrap();
    verified.check_imports(&BTreeSet::from([Capability::Http, Capability::Identity])).unwrap();
    for imports in [&[Capability::Http][..], &[Capability::Http, Capability::Identity, Capability::Log], &[]] {
        let error = verified.check_imports(&imports.iter().copied().collect()).unwrap_err();
        assert!(matches!(error, SignatureError::OtherImports { .. }), "{error}");
    }
}

#[test]
fn every_other_signature_is_refused_by_its_reason() {
    let (key, other) = (key(), key());
    let signed = key.sign(statement()).unwrap();
    let refused = |signers: Signers, wasm: &[u8; 32], name: &str, version: Option<Version>| {
        signers.verify(&signed, wasm, name, version.as_ref()).unwrap_err()
    };
    let unknown = refused(signers(&[&other]), &WASM, "access", None);
    assert!(matches!(unknown, SignatureError::UnknownSigner { .. }));
    assert!(unknown.to_string().contains(&other.verifying_key().id()), "{unknown}");
    assert!(matches!(refused(signers(&[]), &WASM, "access", None), SignatureError::UnknownSigner { .. }));
    let component = refused(signers(&[&key]), &[8; 32], "access", None);
    assert!(matches!(component, SignatureError::OtherComponent { .. }));
    assert!(matches!(refused(signers(&[&key]), &WASM, "seal", None), SignatureError::OtherName { .. }));
    let version = refused(signers(&[&key]), &WASM, "access", Some(Version::new(1, 2, 1)));
    assert!(matches!(version, SignatureError::OtherVersion { .. }));
    // Signed by another, with the signer's name on it.
    let mut forged = other.sign(statement()).unwrap();
    forged.key_id = key.verifying_key().id();
    assert_eq!(signers(&[&key]).verify(&forged, &WASM, "access", None), Err(SignatureError::Forged));
}

#[test]
fn keys_are_read_as_other_tools_write_them() {
    let (key, pem) = SigningKey::generate().unwrap();
    assert_eq!(SigningKey::from_pem(pem.as_bytes()).unwrap().verifying_key(), key.verifying_key());
    let public = key.verifying_key();
    assert_eq!(VerifyingKey::from_pem(public.to_pem().as_bytes()).unwrap(), public);
    // The example of RFC 8410, sections 10.1 and 10.3.
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                  -----END PUBLIC KEY-----\n";
    let key = SigningKey::from_pem(private.as_bytes()).unwrap().verifying_key();
    assert_eq!(key, VerifyingKey::from_pem(public.as_bytes()).unwrap());
    assert_eq!(key.to_pem(), public);
    for text in ["", "hunter2", private, &public.replace("MCow", "MCwx")] {
        assert!(VerifyingKey::from_pem(text.as_bytes()).is_err(), "{text}");
    }
    for text in ["", "hunter2", public] {
        assert!(SigningKey::from_pem(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn statements_and_files_out_of_their_bounds_are_refused() {
    let build: Version = "1.0.0+linux".parse().unwrap();
    let long: Version = format!("1.0.0-{}", "a".repeat(200)).parse().unwrap();
    let many = (0..65).map(|index| index.to_string()).collect();
    for wrong in [
        Statement { name: String::new(), ..statement() },
        Statement { name: "a\n".to_owned(), ..statement() },
        Statement { name: "a".repeat(129), ..statement() },
        Statement { version: build, ..statement() },
        Statement { version: long, ..statement() },
        Statement { imports: many, ..statement() },
        Statement { imports: BTreeSet::from(["a".repeat(129)]), ..statement() },
    ] {
        assert!(matches!(key().sign(wrong), Err(SignatureError::Malformed(_))));
    }
    let good = key().sign(statement()).unwrap().to_json().unwrap();
    for wrong in [
        good.replace("\"format\": 1", "\"format\": 2"),
        good.replace("\"name\"", "\"more\": 1, \"name\""),
        good.replace("\"identity\"", "\"http\""),
        good.replace("1.2.0", "1.2"),
        good.replace("0707", "07"),
        good.replace("0707", "zz07"),
        format!("{good}{}", " ".repeat(MAX_SIGNATURE_FILE_BYTES)),
        format!("{good}x"),
        String::new(),
    ] {
        assert!(matches!(Signed::from_json(wrong.as_bytes()), Err(SignatureError::Malformed(_))), "{wrong}");
    }
}

/// Names and imports over a small alphabet, so that statements that look alike are common.
fn statements() -> impl Strategy<Value = Statement> {
    let text = "[ab,\u{0}1]{0,3}";
    let imports = proptest::collection::btree_set(text, 0..4);
    (text, 0..3_u64, 0..2_u8, imports).prop_map(|(name, minor, digest, imports)| Statement {
        sha256: [digest; 32],
        name,
        version: Version::new(1, minor, 0),
        imports,
    })
}

proptest! {
    #[test]
    fn only_equal_statements_have_equal_bytes(one in statements(), other in statements()) {
        prop_assert_eq!(one == other, one.canonical() == other.canonical());
    }

    #[test]
    fn no_flipped_bit_of_a_signature_file_passes(at in any::<Index>(), bit in 0..8_u8) {
        let key = key();
        let mut file = key.sign(statement()).unwrap().to_json().unwrap().into_bytes();
        let original = Signed::from_json(&file).unwrap();
        let at = at.index(file.len());
        file[at] ^= 1_u8 << bit;
        if let Ok(read) = Signed::from_json(&file) {
            // White space and the case of hexadecimal digits say nothing.
            let passes = signers(&[&key]).verify(&read, &WASM, "access", None).is_ok();
            prop_assert_eq!(passes, read == original);
        }
    }

    #[test]
    fn any_file_is_read_without_harm(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Signed::from_json(&text);
        let _ = SigningKey::from_pem(&text);
        let _ = VerifyingKey::from_pem(&text);
    }
}
