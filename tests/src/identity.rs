//! An issuer of tokens, good and bad. Its keys are made when they are first needed and are in no file of the tree.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Map, Value, json};

/// `iss` of good tokens.
pub const ISSUER: &str = "https://issuer.forebay.test";
/// `aud` of good tokens.
pub const AUDIENCE: &str = "forebay-tests";

/// One key for each accepted algorithm: ES256, RS256, PS256, EdDSA.
pub static SIGNERS: LazyLock<[Signer; 4]> = LazyLock::new(|| {
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    [
        Signer::es256("es"),
        Signer::of(Algorithm::RS256, "rs", &rsa),
        Signer::of(Algorithm::PS256, "ps", &rsa),
        Signer::of(Algorithm::EdDSA, "ed", &KeyPair::generate_for(&PKCS_ED25519).unwrap()),
    ]
});

/// A private key, its name and its algorithm.
pub struct Signer {
    algorithm: Algorithm,
    key_id: String,
    key: EncodingKey,
    jwk: Value,
    public_pem: String,
}

impl Signer {
    /// A new ES256 key.
    pub fn es256(key_id: &str) -> Self {
        Self::of(Algorithm::ES256, key_id, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn of(algorithm: Algorithm, key_id: &str, pair: &KeyPair) -> Self {
        let pem = pair.serialize_pem();
        let (key, mut jwk) = match algorithm {
            Algorithm::EdDSA => {
                let key = EncodingKey::from_ed_pem(pem.as_bytes()).unwrap();
                (key, json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw())}))
            }
            Algorithm::ES256 => with_jwk(EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(), algorithm),
            _ => with_jwk(EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), algorithm),
        };
        jwk["kid"] = key_id.into();
        jwk["alg"] = name(algorithm).into();
        jwk["use"] = "sig".into();
        Self { algorithm, key_id: key_id.to_owned(), key, jwk, public_pem: pair.public_key_pem() }
    }

    /// Its public half.
    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// Its public half as text, which must never serve as a shared secret.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The name of its algorithm.
    pub fn algorithm(&self) -> &'static str {
        name(self.algorithm)
    }
}

fn with_jwk(key: EncodingKey, algorithm: Algorithm) -> (EncodingKey, Value) {
    let jwk = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
    (key, jwk)
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ES256",
        Algorithm::RS256 => "RS256",
        Algorithm::PS256 => "PS256",
        Algorithm::EdDSA => "EdDSA",
        other => panic!("no key for {other:?}"),
    }
}

/// Numbers proofs: no two have the same name.
static PROOFS: AtomicU64 = AtomicU64::new(0);

/// A client's key, with which it proves that a token is its own (RFC 9449).
pub struct Prover(Signer);

/// A proof in the making: good until something is changed, and new each time it is made.
#[derive(Clone)]
pub struct Proof<'a> {
    prover: &'a Prover,
    header: Value,
    claims: Value,
}

impl Default for Prover {
    fn default() -> Self {
        Self::new()
    }
}

impl Prover {
    /// A new ES256 key.
    pub fn new() -> Self {
        let mut signer = Signer::es256("");
        let jwk = &signer.jwk;
        signer.jwk = json!({"kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"], "y": jwk["y"]});
        Self(signer)
    }

    /// Its thumbprint (RFC 7638), as `cnf.jkt` has it. JSON objects here are sorted and without white space.
    pub fn thumbprint(&self) -> String {
        sha256(self.0.jwk.to_string().as_bytes())
    }

    /// A proof for a request with this token.
    pub fn proof(&self, method: &str, url: &str, token: &str) -> Proof<'_> {
        let claims = json!({
            "jti": PROOFS.fetch_add(1, Ordering::Relaxed).to_string(), "htm": method, "htu": url, "iat": now_s(),
            "ath": sha256(token.as_bytes()),
        });
        Proof { prover: self, header: json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.0.jwk}), claims }
    }
}

impl Proof<'_> {
    /// With this claim.
    #[must_use]
    pub fn with(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.claims[claim] = value.into();
        self
    }

    /// With this header parameter, in place of the right one.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// The text of the field `DPoP`.
    pub fn signed(&self) -> String {
        let part = |object: &Value| URL_SAFE_NO_PAD.encode(object.to_string());
        let message = format!("{}.{}", part(&self.header), part(&self.claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.prover.0.key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

/// A SHA-256 as base64url.
pub fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

/// A JWKS document.
pub fn jwks(keys: impl IntoIterator<Item = Value>) -> String {
    json!({"keys": keys.into_iter().collect::<Vec<_>>()}).to_string()
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token in the making: good until something is changed.
#[derive(Clone)]
pub struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Token {
    /// A tenant's token with the scope `infer`.
    pub fn of(tenant: &str) -> Self {
        let now = now_s();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": tenant, "tenant": tenant, "scope": "infer",
            "iat": now, "nbf": now - 60, "exp": now + 3600,
        });
        let Value::Object(claims) = claims else { unreachable!() };
        Self { header: Map::new(), claims }
    }

    /// With this claim.
    #[must_use]
    pub fn with(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(claim.to_owned(), value.into());
        self
    }

    /// Without this claim.
    #[must_use]
    pub fn without(mut self, claim: &str) -> Self {
        self.claims.remove(claim);
        self
    }

    /// With this header parameter, in place of the right one.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Signed with the issuer's ES256 key.
    pub fn signed(&self) -> String {
        self.signed_by(&SIGNERS[0])
    }

    /// Signed with this key.
    pub fn signed_by(&self, signer: &Signer) -> String {
        let message = self.message(signer.algorithm(), &signer.key_id);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &signer.key, signer.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// With a keyed hash in place of a signature.
    pub fn hashed_with(&self, secret: &[u8], key_id: &str) -> String {
        let message = self.message("HS256", key_id);
        let key = EncodingKey::from_secret(secret);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    }

    /// With no signature, as `alg: none` has it.
    pub fn unsigned(&self) -> String {
        format!("{}.", self.message("none", "es"))
    }

    fn message(&self, algorithm: &str, key_id: &str) -> String {
        let mut header = Map::new();
        header.insert("alg".into(), algorithm.into());
        header.insert("typ".into(), "JWT".into());
        header.insert("kid".into(), key_id.into());
        header.extend(self.header.clone());
        let part = |object: &Map<String, Value>| URL_SAFE_NO_PAD.encode(serde_json::to_vec(object).unwrap());
        format!("{}.{}", part(&header), part(&self.claims))
    }
}
