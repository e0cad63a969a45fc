//! Throw-away keys: one certificate that every contender serves, one key that signs every token.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

/// Who issues the tokens, and for whom.
pub(crate) const ISSUER: &str = "https://issuer.bench.example";
pub(crate) const AUDIENCE: &str = "forebay";
const KEY_ID: &str = "bench";
const TOKEN_LIFE: Duration = Duration::from_hours(12);

/// Files in `folder`, and what the client needs to trust and to be trusted.
pub(crate) struct Credentials {
    /// Certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub(crate) combined: PathBuf,
    /// The public key of the tokens as a JWK set.
    pub(crate) jwks: Value,
    /// The same as PEM.
    pub(crate) token_public_key: PathBuf,
    /// A token that may infer.
    pub(crate) token: String,
    root: CertificateDer<'static>,
}

impl Credentials {
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
        let signer = KeyPair::generate()?;
        let write = |name: &str, text: String| -> Result<PathBuf> {
            let path = folder.join(name);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())?;
            Ok(path)
        };
        Ok(Self {
            certificate: write("tls.pem", certificate.pem())?,
            key: write("tls.key", key.serialize_pem())?,
            combined: write("tls.both", certificate.pem() + &key.serialize_pem())?,
            jwks: jwks(&signer)?,
            token_public_key: write("token.pub", signer.public_key_pem())?,
            token: token(&signer)?,
            root: certificate.der().clone(),
        })
    }

    /// The token with another first character in its signature.
    pub(crate) fn forged(&self) -> String {
        let (signed, signature) = self.token.rsplit_once('.').unwrap_or_default();
        let (first, rest) = signature.split_at_checked(1).unwrap_or_default();
        format!("{signed}.{}{rest}", if first == "A" { "B" } else { "A" })
    }

    /// A client that speaks exactly this protocol (`h2` or `http/1.1`).
    pub(crate) fn client(&self, alpn: &[u8]) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Arc::new(config))
    }
}

fn jwks(signer: &KeyPair) -> Result<Value> {
    // An uncompressed P-256 point: 0x04, then 32 bytes of x and 32 of y (SEC 1, 2.3.3).
    let point = signer.der_bytes();
    let x = point.get(1..33).context("not a P-256 point")?;
    let y = point.get(33..65).context("not a P-256 point")?;
    Ok(json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }]}))
}

fn token(signer: &KeyPair) -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "bench", "tenant": "acme", "scope": "infer",
        "iat": now, "nbf": now, "exp": now + TOKEN_LIFE.as_secs(),
    });
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(KEY_ID.to_owned());
    let key = EncodingKey::from_ec_pem(signer.serialize_pem().as_bytes())?;
    Ok(jsonwebtoken::encode(&header, &claims, &key)?)
}
