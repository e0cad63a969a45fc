//! What is known about a connection before its first request.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::{ProtocolVersion, ServerConnection};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A connection's two ends and its security; the same for all of its requests.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The peer's address; behind a proxy, the proxy's.
    pub peer: SocketAddr,
    /// Our own address, if the operating system still knew it.
    pub local: Option<SocketAddr>,
    /// None on plaintext connections.
    pub tls: Option<TlsInfo>,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The key exchange group, such as `X25519MLKEM768`; None if the session was resumed without one.
    pub group: Option<&'static str>,
    /// The cipher suite by its IANA name.
    pub cipher: Option<&'static str>,
    /// The protocol that ALPN chose.
    pub alpn: Option<String>,
    /// The server name the client asked for.
    pub sni: Option<String>,
    /// The client's certificate, verified; None unless the listener asks for one.
    pub client: Option<ClientCertificate>,
}

/// A verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's distinguished name, such as `CN=edge-1`; may be empty.
    pub subject: String,
    /// DNS names, URIs (SPIFFE) and addresses from the subject alternative name.
    pub names: Vec<String>,
    /// SHA-256 of the certificate in DER form.
    pub fingerprint_sha256: [u8; 32],
}

impl TlsInfo {
    pub(crate) fn of(session: &ServerConnection) -> Self {
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        Self {
            version: version_name(session.protocol_version()),
            group: session.negotiated_key_exchange_group().and_then(|group| group.name().as_str()),
            cipher: session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()),
            alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            sni: session.server_name().map(str::to_owned),
            client: leaf.map(ClientCertificate::of),
        }
    }
}

fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    }
}

impl ClientCertificate {
    fn of(der: &CertificateDer<'_>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        let mut fingerprint_sha256 = [0; 32];
        for (to, from) in fingerprint_sha256.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        let (subject, names) = match X509Certificate::from_der(der) {
            Ok((_, certificate)) => (certificate.subject().to_string(), names_of(&certificate)),
            // It was verified, so this is a parser's disagreement; the fingerprint still identifies it.
            Err(_) => (String::new(), Vec::new()),
        };
        Self { subject, names, fingerprint_sha256 }
    }

    /// The fingerprint as RFC 8705 binds tokens to it: the `x5t#S256` confirmation, base64url without padding.
    #[must_use]
    pub fn x5t_s256(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.fingerprint_sha256)
    }
}

fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    names.collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(octets).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string())
}
