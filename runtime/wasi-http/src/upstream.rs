//! Where a component's requests go: the seam to the caller, and the list of origins that may be asked.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;

use forebay_http::Body;
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response};

/// A response on its way.
pub type Exchange = Pin<Box<dyn Future<Output = Result<Response<Body>, UpstreamError>> + Send>>;

/// Something that answers requests: the network for a component's own requests, or whatever comes after a middleware.
/// Dropping an exchange gives it up.
pub trait Upstream: Send + Sync {
    /// Sends a request. Its body may break off while it is sent.
    fn send(&self, request: Request<Body>) -> Exchange;
}

/// Why there is no response. What a component learns of it, so it says nothing of what lies behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// It could not be reached, or broke off.
    #[error("unreachable")]
    Unreachable,
    /// It did not answer in time.
    #[error("timed out")]
    TimedOut,
    /// The request was refused.
    #[error("refused")]
    Refused,
}

/// An origin that a component may ask (RFC 6454): scheme, host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// A text that names no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin: expected https://host or https://host:port")]
pub struct UnusableOrigin(pub String);

impl Origin {
    /// The origin of an absolute address; None for one without scheme and host, of another scheme than HTTP's, or with
    /// user information.
    #[must_use]
    pub fn of(uri: &Uri) -> Option<Self> {
        let (scheme, authority) = (uri.scheme()?, uri.authority()?);
        let port = authority.port_u16().or_else(|| default_port(scheme))?;
        let plain = default_port(scheme).is_some() && !has_user(authority) && !authority.host().is_empty();
        plain.then(|| Self { scheme: scheme.clone(), host: authority.host().to_ascii_lowercase(), port })
    }
}

fn default_port(scheme: &Scheme) -> Option<u16> {
    match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

impl FromStr for Origin {
    type Err = UnusableOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unusable = || UnusableOrigin(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| unusable())?;
        let bare = uri.path_and_query().is_none_or(|path| path == "/");
        Self::of(&uri).filter(|_| bare).ok_or_else(unusable)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn origin(text: &str) -> Option<Origin> {
        text.parse().ok()
    }

    #[test]
    fn origins_compare_by_scheme_host_and_port() {
        let listed = origin("https://api.example.com").unwrap();
        let of = |uri: &str| Origin::of(&uri.parse().unwrap());
        assert_eq!(of("https://API.example.com:443/v1?x=1"), Some(listed.clone()));
        for other in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com.evil.test/",
            "https://evil.test/https://api.example.com",
            "https://api.example.com@evil.test/",
        ] {
            assert_ne!(of(other), Some(listed.clone()), "{other}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in ["", "api.example.com", "/", "ftp://a", "https://a/b", "https://a?b", "https://u@a", "https://"] {
            assert!(origin(text).is_none(), "{text}");
        }
        assert!(origin("http://127.0.0.1:8080").is_some() && origin("https://[::1]:1/").is_some());
    }
}
