//! A certificate authority for development and tests, kept in a folder.
//!
//! Its root carries name constraints (RFC 5280 section 4.2.1.10): it can vouch for `localhost`, names under
//! `.localhost` and `.test`, and loopback addresses, and for nothing else, so that trusting it in a browser risks
//! nothing if the key leaks. It is not meant for production.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData as _,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::HttpError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of development machines differ.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
const CA_DAYS: u32 = 10 * 365;
const LEAF_DAYS: u32 = 90;
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// No `*.localhost`: rustls' verifier wants two labels behind an asterisk (as browsers do) and, since the root has name
/// constraints, would refuse the whole certificate.
const LEAF_NAMES: [&str; 4] = ["localhost", "forebay.localhost", "127.0.0.1", "::1"];
const PERMITTED_DOMAINS: [&str; 2] = ["localhost", "test"];

/// Where an authority keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevCaFiles {
    /// The root certificate, for clients to trust.
    pub ca: PathBuf,
    /// The root's key (mode 0600).
    pub ca_key: PathBuf,
    /// A server certificate for `localhost`, `forebay.localhost`, 127.0.0.1 and ::1, followed by the root.
    pub certificate: PathBuf,
    /// Its key (mode 0600).
    pub key: PathBuf,
}

/// An authority that can issue certificates.
#[derive(Debug)]
pub struct DevCa {
    files: DevCaFiles,
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

impl DevCa {
    /// Opens the authority in `folder`, making the folder, root and localhost certificate where they are missing,
    /// unreadable or near their expiry.
    ///
    /// # Errors
    /// [`HttpError::Read`], [`HttpError::Write`] or [`HttpError::Issue`].
    pub fn ensure(folder: &Path) -> Result<Self, HttpError> {
        std::fs::create_dir_all(folder).map_err(HttpError::write(folder))?;
        let files = DevCaFiles {
            ca: folder.join("ca.pem"),
            ca_key: folder.join("ca.key"),
            certificate: folder.join("localhost.pem"),
            key: folder.join("localhost.key"),
        };
        let kept = Self::open(&files)?;
        let is_new = kept.is_none();
        let authority = match kept {
            Some(authority) => authority,
            None => Self::create(files)?,
        };
        if is_new || !authority.leaf_is_usable()? {
            authority.renew_leaf()?;
        }
        Ok(authority)
    }

    /// Where the files are.
    #[must_use]
    pub fn files(&self) -> &DevCaFiles {
        &self.files
    }

    /// Issues a server certificate for DNS names and addresses that the root may vouch for. Returns the certificate
    /// with the root after it, and its key, as PEM.
    ///
    /// # Errors
    /// [`HttpError::Issue`] for a name outside the root's constraints.
    pub fn issue(&self, names: &[&str]) -> Result<(String, String), HttpError> {
        if let Some(name) = names.iter().find(|name| !is_permitted(name)) {
            return Err(HttpError::Issue(format!("`{name}` is neither loopback nor under .localhost or .test")));
        }
        let common_name = names.first().copied().unwrap_or("server");
        self.sign(common_name, names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a client certificate whose subject is `CN={name}`. Returns certificate and key as [`Self::issue`] does.
    ///
    /// # Errors
    /// [`HttpError::Issue`].
    pub fn issue_client(&self, name: &str) -> Result<(String, String), HttpError> {
        self.sign(name, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        common_name: &str,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<(String, String), HttpError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(issue_error)?;
        name_and_date(&mut params, common_name, LEAF_DAYS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(issue_error)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue_error)?;
        Ok((format!("{}{}", certificate.pem(), self.ca_pem), key.serialize_pem()))
    }

    fn create(files: DevCaFiles) -> Result<Self, HttpError> {
        let mut params = CertificateParams::default();
        name_and_date(&mut params, "Forebay development authority", CA_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(constraints());
        let key = KeyPair::generate().map_err(issue_error)?;
        let ca_pem = params.self_signed(&key).map_err(issue_error)?.pem();
        // The key first: a certificate without its key would be taken for a broken pair and made anew.
        write(&files.ca_key, &key.serialize_pem(), Secrecy::Private)?;
        write(&files.ca, &ca_pem, Secrecy::Public)?;
        Ok(Self { files, issuer: Issuer::new(params, key), ca_pem })
    }

    /// None if there is no usable pair.
    fn open(files: &DevCaFiles) -> Result<Option<Self>, HttpError> {
        let (Some(ca_pem), Some(key_pem)) = (read(&files.ca)?, read(&files.ca_key)?) else {
            return Ok(None);
        };
        let Ok(key) = KeyPair::from_pem(&key_pem) else {
            return Ok(None);
        };
        if !is_usable(&ca_pem, &key) {
            return Ok(None);
        }
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key).ok();
        Ok(issuer.map(|issuer| Self { files: files.clone(), issuer, ca_pem }))
    }

    fn leaf_is_usable(&self) -> Result<bool, HttpError> {
        let (Some(pem), Some(key)) = (read(&self.files.certificate)?, read(&self.files.key)?) else {
            return Ok(false);
        };
        // The chain ends with the root that signed it, so a leaf of an earlier root is noticed.
        let usable = KeyPair::from_pem(&key).is_ok_and(|key| is_usable(&pem, &key));
        Ok(usable && pem.ends_with(&self.ca_pem))
    }

    fn renew_leaf(&self) -> Result<(), HttpError> {
        let (certificate, key) = self.issue(&LEAF_NAMES)?;
        write(&self.files.key, &key, Secrecy::Private)?;
        write(&self.files.certificate, &certificate, Secrecy::Public)
    }
}

fn name_and_date(params: &mut CertificateParams, common_name: &str, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + DAY * days).into();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
}

fn constraints() -> NameConstraints {
    let mut permitted_subtrees: Vec<GeneralSubtree> =
        PERMITTED_DOMAINS.iter().map(|domain| GeneralSubtree::DnsName((*domain).to_owned())).collect();
    permitted_subtrees.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)));
    let loopback_v6 = std::net::Ipv6Addr::LOCALHOST.octets();
    permitted_subtrees.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(loopback_v6, 128)));
    NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() }
}

fn is_permitted(name: &str) -> bool {
    if let Ok(address) = name.parse::<IpAddr>() {
        return address.is_loopback();
    }
    if PERMITTED_DOMAINS.iter().any(|domain| name.strip_prefix("*.") == Some(domain)) {
        return false;
    }
    PERMITTED_DOMAINS.iter().any(|domain| {
        name == *domain || name.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    })
}

/// Whether the first certificate belongs to the key and is not near its expiry.
fn is_usable(pem: &str, key: &KeyPair) -> bool {
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(pem.as_bytes()) else {
        return false;
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&pem.contents) else {
        return false;
    };
    let renew_at = SystemTime::now() + RENEW_BEFORE;
    let renew_at_s = renew_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let expires_s = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    expires_s > renew_at_s && certificate.public_key().raw == key.subject_public_key_info()
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn issue_error(error: rcgen::Error) -> HttpError {
    HttpError::Issue(error.to_string())
}

/// None if there is no such file.
fn read(path: &Path) -> Result<Option<String>, HttpError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HttpError::read(path)(error)),
    }
}

#[derive(Clone, Copy)]
enum Secrecy {
    Public,
    Private,
}

/// Writes beside the file and renames, so that a reader sees the old content or the new, and nobody else ever sees a key.
fn write(path: &Path, text: &str, secrecy: Secrecy) -> Result<(), HttpError> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let written = create(&beside, secrecy).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    written.map_err(HttpError::write(path))
}

fn create(path: &Path, secrecy: Secrecy) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut options,
        match secrecy {
            Secrecy::Public => 0o644,
            Secrecy::Private => 0o600,
        },
    );
    #[cfg(not(unix))]
    let _ = secrecy;
    options.open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_are_made_once_and_keys_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = DevCa::ensure(folder.path()).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let before = (read(&first.files.ca), read(&first.files.certificate));
        let second = DevCa::ensure(folder.path()).unwrap();
        assert_eq!((read(&second.files.ca), read(&second.files.certificate)), before);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            for key in [&first.files.ca_key, &first.files.key] {
                assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
            }
        }
    }

    #[test]
    fn what_does_not_fit_together_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let first = DevCa::ensure(folder.path()).unwrap();
        let old_leaf = std::fs::read_to_string(&first.files.certificate).unwrap();
        std::fs::copy(&first.files.key, &first.files.ca_key).unwrap();
        let second = DevCa::ensure(folder.path()).unwrap();
        assert_ne!(second.ca_pem, first.ca_pem);
        assert_ne!(std::fs::read_to_string(&second.files.certificate).unwrap(), old_leaf);
        std::fs::write(&second.files.certificate, "rubbish").unwrap();
        let third = DevCa::ensure(folder.path()).unwrap();
        assert_eq!(third.ca_pem, second.ca_pem);
        assert!(third.leaf_is_usable().unwrap());
    }

    #[test]
    fn names_outside_the_constraints_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::ensure(folder.path()).unwrap();
        for name in ["example.com", "test.example.com", "nottest", ".test", "*.localhost", "10.0.0.1", ""] {
            assert!(ca.issue(&[name]).is_err(), "{name}");
        }
        assert!(ca.issue(&["a.b.test", "*.b.test", "localhost", "x.localhost", "127.0.0.9", "::1"]).is_ok());
    }
}
