//! TLS configurations from files.
//!
//! aws-lc-rs, TLS 1.3 and 1.2, and the post-quantum hybrid X25519MLKEM768 offered and preferred before the classical
//! groups. Errors name the file that is to blame and never show its content.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::HttpError;

/// A server configuration that can be replaced while it is in use: new handshakes take the new one, open connections
/// keep theirs. Clones share it.
#[derive(Clone, Debug)]
pub struct TlsHandle(Arc<ArcSwap<ServerConfig>>);

impl TlsHandle {
    /// A handle on `config`.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// Replaces the configuration for handshakes that begin from now on.
    pub fn replace(&self, config: ServerConfig) {
        self.0.store(Arc::new(config));
    }

    /// The configuration that a handshake beginning now would use.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}

/// The cryptography behind all of our TLS.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1];
    Arc::new(provider)
}

/// Whether a server asks its clients for certificates. The path is a PEM file of roots, one of which must have signed
/// them. A client that shows another certificate is not let in, whichever it is.
#[derive(Clone, Copy, Debug)]
pub enum ClientAuth<'a> {
    /// It does not.
    Off,
    /// It does, and lets in those who have none.
    Optional(&'a Path),
    /// It does, and lets in nobody else.
    Required(&'a Path),
}

/// A server's configuration: `certificate` and `key` are PEM files, the certificate first and then its chain. With
/// `client_ca` (a PEM file of roots) every client must present a certificate that one of them signed. ALPN offers
/// HTTP/2 and HTTP/1.1; early data is refused; sessions resume by tickets that a new configuration makes worthless.
///
/// # Errors
/// [`HttpError::Read`] or [`HttpError::Pem`] with the file, or [`HttpError::Tls`].
pub fn server_config(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<ServerConfig, HttpError> {
    server_config_with(certificate, key, client_ca.map_or(ClientAuth::Off, ClientAuth::Required))
}

/// As [`server_config`], for servers that may leave it to a client whether it shows a certificate. A resumed session
/// has the certificate of the one it resumes.
///
/// # Errors
/// As [`server_config`].
pub fn server_config_with(certificate: &Path, key: &Path, clients: ClientAuth<'_>) -> Result<ServerConfig, HttpError> {
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| HttpError::Tls(error.to_string()))?;
    let builder = match clients {
        ClientAuth::Off => builder.with_no_client_auth(),
        ClientAuth::Optional(path) | ClientAuth::Required(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider);
            let verifier = match clients {
                ClientAuth::Optional(_) => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| HttpError::pem(path, &error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| refused(certificate, key, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| HttpError::Tls(error.to_string()))?;
    Ok(config)
}

/// A client's configuration: it trusts the roots in the PEM file `trusted`, or the web's (Mozilla's list, built in) if
/// there is none, and presents `identity` (certificate file, key file) to servers that ask. ALPN is left to whoever
/// speaks HTTP over it.
///
/// # Errors
/// As [`server_config`].
pub fn client_config(trusted: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<ClientConfig, HttpError> {
    let roots = match trusted {
        Some(path) => roots(path)?,
        None => RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| HttpError::Tls(error.to_string()))?
        .with_root_certificates(roots);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| refused(certificate, key, &error)),
    }
}

fn refused(certificate: &Path, key: &Path, error: &rustls::Error) -> HttpError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            HttpError::pem(key, &format!("this is not the key of the certificate in {}", certificate.display()))
        }
        other => HttpError::pem(certificate, other),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let text = std::fs::read(path).map_err(HttpError::read(path))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| HttpError::pem(path, &error))?;
    if chain.is_empty() {
        return Err(HttpError::pem(path, &"no certificate in this file"));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, HttpError> {
    let text = std::fs::read(path).map_err(HttpError::read(path))?;
    warn_if_readable_by_all(path);
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => HttpError::pem(path, &"no private key in this file"),
        other => HttpError::pem(path, &other),
    })
}

fn roots(path: &Path) -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| HttpError::pem(path, &error))?;
    }
    Ok(roots)
}

#[cfg(unix)]
fn warn_if_readable_by_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    const OTHERS_READ: u32 = 0o004;
    let mode = std::fs::metadata(path).map(|file| file.permissions().mode());
    if mode.is_ok_and(|mode| mode & OTHERS_READ != 0) {
        tracing::warn!(path = %path.display(), "this private key can be read by every user of the machine");
    }
}

#[cfg(not(unix))]
fn warn_if_readable_by_all(_path: &Path) {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::dev_ca::DevCa;

    #[test]
    fn errors_name_the_file_and_show_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::ensure(folder.path()).unwrap();
        let files = ca.files();
        let (_, other_key) = ca.issue(&["other.test"]).unwrap();
        let other = folder.path().join("other.key");
        std::fs::write(&other, &other_key).unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "hunter2").unwrap();
        let absent = folder.path().join("absent.pem");
        let cases = [
            (&absent, &files.key, None, &absent),
            (&empty, &files.key, None, &empty),
            (&files.certificate, &empty, None, &empty),
            (&files.certificate, &files.certificate, None, &files.certificate),
            (&files.certificate, &other, None, &other),
            (&files.certificate, &files.key, Some(&empty), &empty),
        ];
        for (certificate, key, ca, blamed) in cases {
            let error = server_config(certificate, key, ca.map(|path| path.as_path())).unwrap_err().to_string();
            assert!(error.contains(blamed.to_str().unwrap()), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_post_quantum_group_comes_first() {
        assert_eq!(provider().kx_groups.first().unwrap().name(), rustls::NamedGroup::X25519MLKEM768);
    }

    #[test]
    fn a_handle_hands_out_the_newest_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::ensure(folder.path()).unwrap();
        let config = || server_config(&ca.files().certificate, &ca.files().key, None).unwrap();
        let handle = TlsHandle::new(config());
        let shared = handle.clone();
        let before = handle.current();
        handle.replace(config());
        assert!(!Arc::ptr_eq(&before, &shared.current()));
    }
}
