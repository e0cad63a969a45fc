//! What can go wrong before a request exists; mistakes of requests are [`crate::Problem`]s.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a listener, a TLS configuration or a development authority could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The operating system refused the address: taken, not ours, or not permitted.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A certificate or key file was read but cannot be used.
    #[error("{}: {reason}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        reason: String,
    },
    /// A certificate could not be issued.
    #[error("cannot issue a certificate: {0}")]
    Issue(String),
    /// The TLS library refused a configuration that no file is to blame for.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl HttpError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Write { path: path.to_owned(), source }
    }

    pub(crate) fn pem(path: &Path, reason: &dyn Display) -> Self {
        Self::Pem { path: path.to_owned(), reason: reason.to_string() }
    }
}
