#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_http::ConnectionInfo;
use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::*;
use crate::config::Config;

mod going_on;

const PATH: &str = "/v2/models/m/infer";

/// An ES256 key, an issuer's or a client's.
struct Key {
    key: EncodingKey,
    x: String,
    y: String,
}

impl Key {
    fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let point = &pair.public_key_raw()[1..];
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Self {
            key: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(),
            x: text(&point[..32]),
            y: text(&point[32..]),
        }
    }

    fn jwk(&self) -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": self.x, "y": self.y})
    }

    fn jkt(&self) -> String {
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, self.x, self.y);
        URL_SAFE_NO_PAD.encode(sha256(text.as_bytes()))
    }

    fn sign(&self, header: &Value, payload: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(payload));
        format!("{message}.{}", crypto::sign(message.as_bytes(), &self.key, Algorithm::ES256).unwrap())
    }

    fn proof(&self, token: &str, jti: &str, more: &Value) -> String {
        let mut payload = json!({
            "jti": jti, "htm": "POST", "htu": format!("https://api.test{PATH}"), "iat": unix_seconds(SystemTime::now()),
            "ath": URL_SAFE_NO_PAD.encode(sha256(token.as_bytes())),
        });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.sign(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()}), &payload)
    }
}

/// A node's issuers, and the key of the one that signs.
struct Node {
    identities: Identities,
    issuer: Key,
    folder: tempfile::TempDir,
}

fn config(folder: &Path, issuer: &str, more: &str) -> Config {
    let text = format!(
        "{more}\n[[issuers]]\nissuer = \"me\"\naudiences = [\"us\"]\nalgorithms = [\"ES256\"]\n\
         jwks_file = \"jwks.json\"\n{issuer}\n[listen]\naddress = \"127.0.0.1:0\"\ndevelopment_ca = \".\"\n"
    );
    Config::parse("test.toml", &text, folder).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

impl Node {
    fn new(issuer_keys: &str, more: &str) -> Self {
        let (folder, issuer) = (tempfile::tempdir().unwrap(), Key::new());
        let mut jwk = issuer.jwk();
        jwk["kid"] = "k".into();
        std::fs::write(folder.path().join("jwks.json"), json!({"keys": [jwk]}).to_string()).unwrap();
        std::fs::write(folder.path().join("revoked.jsonl"), "").unwrap();
        let identities = Identities::load(&config(folder.path(), issuer_keys, more), None).unwrap();
        Self { identities, issuer, folder }
    }

    fn reload(&mut self, more: &str) {
        self.identities = Identities::load(&config(self.folder.path(), "", more), Some(&self.identities)).unwrap();
    }

    fn token(&self, more: &Value) -> String {
        let now = unix_seconds(SystemTime::now());
        let mut claims = json!({
            "iss": "me", "aud": "us", "sub": "ann", "jti": "j", "nbf": now - 10, "exp": now + 600,
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.issuer.sign(&json!({"alg": "ES256", "kid": "k"}), &claims)
    }

    async fn ask(&self, fields: &[(&str, &str)]) -> Verified {
        self.ask_over(fields, None).await
    }

    async fn ask_over(&self, fields: &[(&str, &str)], certificate: Option<[u8; 32]>) -> Verified {
        self.ask_with(fields, certificate, Effort::Full).await
    }

    async fn ask_with(&self, fields: &[(&str, &str)], certificate: Option<[u8; 32]>, effort: Effort) -> Verified {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let client = certificate.map(|fingerprint_sha256| forebay_http::ClientCertificate {
            subject: String::new(),
            names: Vec::new(),
            fingerprint_sha256,
        });
        let tls =
            forebay_http::TlsInfo { version: "TLSv1.3", group: None, cipher: None, alpn: None, sni: None, client };
        let connection = ConnectionInfo { peer: ([127, 0, 0, 1], 1).into(), local: None, tls: Some(tls) };
        let authority: Authority = "API.test:443".parse().unwrap();
        let asked = Asked {
            headers: &headers,
            method: &Method::POST,
            authority: Some(&authority),
            path: PATH,
            connection: &connection,
        };
        self.identities.verify(&asked, effort, Instant::now() + Duration::from_secs(30)).await
    }

    async fn bearer(&self, token: &str) -> Option<&'static str> {
        self.ask(&[(AUTHORIZATION.as_str(), &format!("Bearer {token}"))]).await.reason()
    }

    async fn dpop(&self, token: &str, proof: &str) -> Option<&'static str> {
        self.ask(&[(AUTHORIZATION.as_str(), &format!("DPoP {token}")), ("dpop", proof)]).await.reason()
    }
}

#[tokio::test]
async fn a_bound_token_needs_its_proof_whatever_the_setting() {
    let client = Key::new();
    for (mode, unbound, bound) in [
        ("off", None, Some("token-not-for-proofs")),
        ("accepted", None, None),
        ("required", Some("token-unbound"), None),
    ] {
        let node = Node::new(&format!("dpop = \"{mode}\""), "");
        let plain = node.token(&json!({}));
        assert_eq!(node.bearer(&plain).await, unbound, "{mode}");
        assert_eq!(node.dpop(&plain, &client.proof(&plain, "a", &json!({}))).await, Some("token-not-for-proofs"));
        let token = node.token(&json!({"cnf": {"jkt": client.jkt()}}));
        let shown_as_bearer = if mode == "off" { "token-not-for-proofs" } else { "token-bound-no-proof" };
        assert_eq!(node.bearer(&token).await, Some(shown_as_bearer), "{mode}");
        let proof = client.proof(&token, "b", &json!({}));
        let both = [("authorization", format!("Bearer {token}")), ("dpop", proof.clone())];
        let both: Vec<_> = both.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(node.ask(&both).await.reason(), Some(shown_as_bearer), "{mode}");
        let alone = node.ask(&[("authorization", &format!("DPoP {token}"))]).await;
        assert_eq!(alone.reason(), Some(shown_as_bearer), "{mode}");
        assert_eq!(node.dpop(&token, &proof).await, bound, "{mode}");
        if bound.is_none() {
            assert_eq!(node.dpop(&token, &proof).await, Some("proof-replayed"));
            assert_eq!(node.dpop(&token, &client.proof(&token, "c", &json!({}))).await, None);
            let thief = Key::new();
            assert_eq!(node.dpop(&token, &thief.proof(&token, "d", &json!({}))).await, Some("proof-other-key"));
            assert_eq!(node.dpop(&token, &client.proof(&plain, "e", &json!({}))).await, Some("proof-other-token"));
        }
    }
}

#[tokio::test]
async fn a_proof_that_is_refused_is_not_spent() {
    let (node, client) = (Node::new("", ""), Key::new());
    let token = node.token(&json!({"cnf": {"jkt": client.jkt()}}));
    let wrong = client.proof(&token, "one", &json!({"htm": "GET"}));
    assert_eq!(node.dpop(&token, &wrong).await, Some("proof-method"));
    assert_eq!(node.dpop(&token, &client.proof(&token, "one", &json!({}))).await, None);
}

#[tokio::test]
async fn a_reload_forgets_neither_proofs_nor_what_was_told() {
    let (mut node, client) = (Node::new("", ""), Key::new());
    let token = node.token(&json!({"cnf": {"jkt": client.jkt()}}));
    let proof = client.proof(&token, "one", &json!({}));
    assert_eq!(node.dpop(&token, &proof).await, None);
    let plain = node.token(&json!({"sub": "bob"}));
    node.identities.revoke(Entry::read(br#"{"issuer":"me","sub":"bob"}"#).unwrap()).await.unwrap();
    node.reload("");
    assert_eq!(node.dpop(&token, &proof).await, Some("proof-replayed"));
    assert_eq!(node.bearer(&plain).await, Some("token-revoked"));
}

#[tokio::test]
async fn a_full_memory_of_proofs_is_our_fault() {
    let (node, client) = (Node::new("", "[tokens]\nproofs = 4"), Key::new());
    let token = node.token(&json!({"cnf": {"jkt": client.jkt()}}));
    assert_eq!(node.dpop(&token, &client.proof(&token, "one", &json!({}))).await, None);
    let proof = client.proof(&token, "two", &json!({}));
    let verified = node.ask(&[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]).await;
    assert_eq!(verified.reason(), Some("proofs-full"));
    assert_eq!(verified.refusal().unwrap().reason(), "overloaded");
    assert!(IdentityView::claims(&verified.identity).is_err());
}

#[tokio::test]
async fn a_nonce_is_asked_for_and_taken() {
    let (node, client) = (Node::new("dpop_nonce = true", ""), Key::new());
    let token = node.token(&json!({"cnf": {"jkt": client.jkt()}}));
    let authorization = format!("DPoP {token}");
    let first = client.proof(&token, "one", &json!({}));
    let verified = node.ask(&[("authorization", &authorization), ("dpop", &first)]).await;
    assert_eq!(verified.reason(), Some("proof-nonce-wanted"));
    assert_eq!(verified.refusal().unwrap().reason(), "invalid-token");
    let nonce = verified.nonce.unwrap();
    assert_eq!(node.dpop(&token, &client.proof(&token, "one", &json!({"nonce": nonce}))).await, None);
    let forged = client.proof(&token, "two", &json!({"nonce": "AAAA"}));
    assert_eq!(node.dpop(&token, &forged).await, Some("proof-nonce-wanted"));
    let old = node.identities.lasting.nonces.make(unix_seconds(SystemTime::now()) - 200);
    let proof = client.proof(&token, "three", &json!({"nonce": old}));
    let verified = node.ask(&[("authorization", &authorization), ("dpop", &proof)]).await;
    assert_eq!(verified.reason(), None);
    assert!(verified.nonce.is_some());
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_comes_with_it() {
    let (node, client) = (Node::new("", ""), Key::new());
    let x5t = URL_SAFE_NO_PAD.encode([7; 32]);
    let token = node.token(&json!({"cnf": {"x5t#S256": x5t}}));
    let authorization = format!("Bearer {token}");
    for (certificate, reason) in [
        (None, Some("token-bound-no-certificate")),
        (Some([8; 32]), Some("token-bound-other-certificate")),
        (Some([7; 32]), None),
    ] {
        let verified = node.ask_over(&[("authorization", &authorization)], certificate).await;
        assert_eq!(verified.reason(), reason);
        assert_eq!(verified.identity.tenant(), None);
        assert_eq!(IdentityView::claims(&verified.identity).is_ok(), reason.is_none());
    }
    let both = node.token(&json!({"cnf": {"x5t#S256": x5t, "jkt": client.jkt()}}));
    let (authorization, proof) = (format!("DPoP {both}"), client.proof(&both, "one", &json!({})));
    let fields = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
    assert_eq!(node.ask_over(&fields, None).await.reason(), Some("token-bound-no-certificate"));
    assert_eq!(node.ask_over(&fields, Some([7; 32])).await.reason(), None);
    let bearer = format!("Bearer {both}");
    assert_eq!(
        node.ask_over(&[("authorization", &bearer)], Some([7; 32])).await.reason(),
        Some("token-bound-no-proof")
    );
    let unknown = node.token(&json!({"cnf": {"jwk": client.jwk()}}));
    assert_eq!(node.bearer(&unknown).await, Some("token-unknown-binding"));
    assert_eq!(node.bearer(&unknown).await, Some("token-unknown-binding"));
}

#[tokio::test]
async fn a_revocation_holds_from_the_next_request_on() {
    let mut node = Node::new("", "");
    let token = node.token(&json!({}));
    for entry in [
        "{\"issuer\":\"me\",\"jti\":\"j\"}",
        "{\"issuer\":\"me\",\"sub\":\"ann\"}",
        "{\"issuer\":\"me\",\"kid\":\"k\"}",
    ] {
        let entry = Entry::read(entry.as_bytes()).unwrap();
        assert_eq!(node.bearer(&token).await, None);
        node.identities.revoke(entry.clone()).await.unwrap();
        assert_eq!(node.bearer(&token).await, Some("token-revoked"));
        assert_eq!(node.identities.take_back(entry).await, Ok(true));
        assert_eq!(node.bearer(&token).await, None);
    }
    // A token that does not name its key is signed by it all the same.
    node.identities.revoke(Entry::read(br#"{"issuer":"me","kid":"k"}"#).unwrap()).await.unwrap();
    let now = unix_seconds(SystemTime::now());
    let claims = json!({"iss": "me", "aud": "us", "nbf": now, "exp": now + 60});
    let nameless = node.issuer.sign(&json!({"alg": "ES256"}), &claims);
    assert_eq!(node.bearer(&nameless).await, Some("token-revoked"));
    let stranger = Entry::read(br#"{"issuer":"you","kid":"k"}"#).unwrap();
    assert_eq!(node.identities.revoke(stranger).await, Err(Unrevoked::UnknownIssuer));

    node.identities.take_back(Entry::read(br#"{"issuer":"me","kid":"k"}"#).unwrap()).await.unwrap();
    assert_eq!(node.bearer(&token).await, None);
    std::fs::write(node.folder.path().join("revoked.jsonl"), "{\"issuer\":\"me\",\"jti\":\"j\"}\n").unwrap();
    let more = "[tokens]\nrevocations_file = \"revoked.jsonl\"";
    node.reload(more);
    assert_eq!(node.bearer(&token).await, Some("token-revoked"));
    assert_eq!(node.identities.revocations().1, 1);
    std::fs::write(node.folder.path().join("revoked.jsonl"), "rubbish\n").unwrap();
    assert!(Identities::load(&config(node.folder.path(), "", more), Some(&node.identities)).is_err());
}

#[tokio::test]
async fn a_signature_that_failed_is_remembered_and_an_expired_token_is_not() {
    let node = Node::new("", "");
    let good = node.token(&json!({}));
    let (message, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode([1; 64]));
    let remembered = |token: &str| node.identities.rejected.find(&sha256(token.as_bytes()), 1);
    assert_eq!(node.bearer(&forged).await, Some("token-bad-signature"));
    assert_eq!(remembered(&forged), Some(Absence::BadSignature.into()));
    assert_eq!(node.bearer(&forged).await, Some("token-bad-signature"));
    assert_eq!(node.bearer(&good).await, None);
    let old = node.token(&json!({"exp": 1}));
    let other = node.issuer.sign(&json!({"alg": "ES256", "kid": "other"}), &json!({"iss": "me"}));
    for (token, reason) in [(&old, "token-expired"), (&other, "token-unknown-key")] {
        assert_eq!(node.bearer(token).await, Some(reason));
        assert_eq!(remembered(token), None);
    }
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_nobodys_fault() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), Key::new());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("jwks_url = \"https://{}/jwks.json\"", closed.local_addr().unwrap());
    drop(closed);
    let text = format!(
        "[[issuers]]\nissuer = \"me\"\naudiences = [\"us\"]\nalgorithms = [\"ES256\"]\n{url}\n\
         [listen]\naddress = \"127.0.0.1:0\"\ndevelopment_ca = \".\"\n"
    );
    let config = Config::parse("test.toml", &text, folder.path()).unwrap();
    let identities = Identities::load(&config, None).unwrap();
    let node = Node { identities, issuer, folder };
    let authorization = format!("Bearer {}", node.token(&json!({})));
    // Where nobody judges who it is, nobody waits to find out.
    let at_hand = node.ask_with(&[("authorization", &authorization)], None, Effort::AtHand).now_or_never();
    assert_eq!(at_hand.unwrap().reason(), Some("issuer-keys-unavailable"));
    let verified = node.ask(&[("authorization", &authorization)]).await;
    assert_eq!(verified.reason(), Some("issuer-keys-unavailable"));
    assert_eq!(verified.refusal().unwrap().reason(), "keys-unavailable");
}

#[tokio::test]
async fn where_nobody_judges_who_it_is_no_proof_is_spent() {
    let (node, client) = (Node::new("", "[tokens]\nproofs = 1"), Key::new());
    let token = node.token(&json!({"cnf": {"jkt": client.jkt()}}));
    let (authorization, proof) = (format!("DPoP {token}"), client.proof(&token, "one", &json!({})));
    let fields = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
    for _ in 0..3 {
        let verified = node.ask_with(&fields, None, Effort::AtHand).await;
        assert_eq!(verified.reason(), None);
    }
    assert_eq!(node.dpop(&token, &proof).await, None);
    assert_eq!(node.dpop(&token, &proof).await, Some("proof-replayed"));
    // It is checked all the same.
    let wrong = client.proof(&token, "two", &json!({"htm": "GET"}));
    let fields = [("authorization", authorization.as_str()), ("dpop", wrong.as_str())];
    assert_eq!(node.ask_with(&fields, None, Effort::AtHand).await.reason(), Some("proof-method"));
}

#[tokio::test]
async fn a_subject_has_a_share_of_the_proofs_whatever_its_keys() {
    let node = Node::new("", "[tokens]\nproofs = 100\nproofs_per_subject = 2");
    for (sub, reason) in [("ann", None), ("ann", None), ("ann", Some("proofs-full")), ("bob", None)] {
        let client = Key::new();
        let token = node.token(&json!({"sub": sub, "cnf": {"jkt": client.jkt()}}));
        assert_eq!(node.dpop(&token, &client.proof(&token, "one", &json!({}))).await, reason, "{sub}");
    }
}

#[tokio::test]
async fn a_longer_window_does_not_bring_a_forgotten_proof_back() {
    let (mut node, client) = (Node::new("dpop_window_s = 5", ""), Key::new());
    let token = node.token(&json!({"cnf": {"jkt": client.jkt()}}));
    let now = unix_seconds(SystemTime::now());
    // What came when it was fresh, and is forgotten by the time that another comes.
    let old = client.proof(&token, "old", &json!({"iat": now - 20}));
    let print: [u8; 32] = URL_SAFE_NO_PAD.decode(client.jkt()).unwrap().try_into().unwrap();
    let came = Came { issuer: "me", caller: &[0; 32], key: &print, jti: "old", issued_s: now - 20, window_s: 5 };
    assert_eq!(node.identities.lasting.replays.remember(&came, now - 20), Ok(()));
    assert_eq!(node.dpop(&token, &client.proof(&token, "new", &json!({}))).await, None);
    let config = config(node.folder.path(), "dpop_window_s = 600", "");
    node.identities = Identities::load(&config, Some(&node.identities)).unwrap();
    assert_eq!(node.dpop(&token, &old).await, Some("proof-time"));
    assert_eq!(node.dpop(&token, &client.proof(&token, "later", &json!({"iat": now - 10}))).await, None);
}

#[test]
fn what_cannot_be_meant_is_a_mistake() {
    let text = r#"
        [listen]
        development_ca = "."
        client_certificates = "required"
        origins = ["http://api.test", "https://u@api.test", "https://api.test/path", "https://api.test:8443/"]
        [tokens]
        proofs = 0
        [[issuers]]
        issuer = "me"
        audiences = ["us"]
        algorithms = ["ES256"]
        jwks_url = "https://me.test/jwks.json"
        jwks_stale_ms = 1000
        dpop_window_s = 0
    "#;
    let told = Config::parse("bad.toml", text, Path::new("/tmp")).unwrap_err().to_string();
    for expected in [
        "listen.client_ca",
        "listen.origins[0]",
        "listen.origins[1]",
        "listen.origins[2]",
        "tokens.proofs",
        "issuers[0].jwks_stale_ms",
        "issuers[0].dpop_window_s",
    ] {
        assert!(told.contains(expected), "{expected} not in:\n{told}");
    }
    assert!(!told.contains("listen.origins[3]"), "{told}");
}
