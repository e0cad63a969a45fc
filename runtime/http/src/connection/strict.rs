//! What a request must satisfy before a handler sees it, beyond what hyper checks: limits that hyper applies to one
//! protocol version only, and one reading of whom the request is for.

use std::net::Ipv6Addr;

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Method, Request, Version};

use crate::limits::Limits;
use crate::problem::{Problem, ProblemType};

/// Per field, as HTTP/2 counts (RFC 9113 section 6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

pub(super) fn check<B>(request: &Request<B>, limits: &Limits) -> Result<(), Problem> {
    check_size(request, limits)?;
    check_target(request)?;
    check_framing(request)?;
    check_host(request)
}

fn check_size<B>(request: &Request<B>, limits: &Limits) -> Result<(), Problem> {
    let fields = request.headers();
    if fields.len() > limits.headers_count {
        return Err(headers_too_large(format!("more than {} header fields", limits.headers_count)));
    }
    let field_bytes = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES
    };
    let total: usize = fields.iter().map(field_bytes).sum();
    if total > limits.headers_bytes {
        return Err(headers_too_large(format!("header fields above {} bytes", limits.headers_bytes)));
    }
    Ok(())
}

fn headers_too_large(detail: String) -> Problem {
    Problem::new(ProblemType::HeadersTooLarge).detail(detail)
}

fn check_target<B>(request: &Request<B>) -> Result<(), Problem> {
    if request.method() == Method::CONNECT {
        return Err(Problem::new(ProblemType::MethodNotAllowed).detail("no tunnels here").allow(METHODS));
    }
    if request.uri().path() == "*" && request.method() != Method::OPTIONS {
        return Err(bad_request("only OPTIONS can address the server as a whole"));
    }
    Ok(())
}

/// hyper takes any list that ends in `chunked`; a coding before it would reach the handler as if it were the content.
fn check_framing<B>(request: &Request<B>) -> Result<(), Problem> {
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let plain = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    if plain { Ok(()) } else { Err(bad_request("the only transfer coding here is chunked, once")) }
}

/// RFC 9112 section 3.2 and RFC 9113 section 8.3.1: exactly one host, and the target's authority must agree with it.
fn check_host<B>(request: &Request<B>) -> Result<(), Problem> {
    let mut fields = request.headers().get_all(HOST).iter();
    let host = fields.next();
    if fields.next().is_some() {
        return Err(bad_request("more than one Host field"));
    }
    let target = request.uri().authority();
    if target.is_some_and(|target| !is_plain(target)) {
        return Err(bad_request("the target's authority is not a host and port"));
    }
    let Some(host) = host else {
        let may_lack = match request.version() {
            Version::HTTP_09 | Version::HTTP_10 => true,
            Version::HTTP_11 => false,
            _ => target.is_some(),
        };
        return if may_lack { Ok(()) } else { Err(bad_request("the Host field is missing")) };
    };
    let host = Authority::try_from(host.as_bytes()).ok().filter(is_plain);
    match (target, host) {
        (_, None) => Err(bad_request("the Host field is not a host and port")),
        (Some(target), Some(host)) if *target != host => {
            Err(bad_request("the Host field and the request's target disagree"))
        }
        _ => Ok(()),
    }
}

/// Stricter than RFC 3986: no user information, no percent-encoding, and none of the punctuation (commas above all)
/// that other software reads as a list.
fn is_plain(authority: &Authority) -> bool {
    let host = authority.host();
    let is_name = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        !name.is_empty() && name.bytes().all(plain)
    };
    let is_v6 = |literal: &str| {
        let address = literal.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
    };
    let rest_is_port = match authority.as_str().strip_prefix(host) {
        Some("") => true,
        Some(_) => authority.port_u16().is_some(),
        None => false,
    };
    rest_is_port && (is_name(host) || is_v6(host))
}

fn bad_request(detail: &str) -> Problem {
    Problem::new(ProblemType::BadRequest).detail(detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn verdict(version: Version, method: Method, uri: &str, hosts: &[&str]) -> Result<(), ProblemType> {
        let mut builder = Request::builder().version(version).method(method).uri(uri);
        for host in hosts {
            builder = builder.header(HOST, *host);
        }
        check(&builder.body(()).unwrap(), &Limits::default()).map_err(|problem| problem.kind())
    }

    #[test]
    fn a_request_is_for_exactly_one_host() {
        const BAD: Result<(), ProblemType> = Err(ProblemType::BadRequest);
        let v1 = |uri, hosts: &[&str]| verdict(Version::HTTP_11, Method::GET, uri, hosts);
        let v2 = |uri, hosts: &[&str]| verdict(Version::HTTP_2, Method::GET, uri, hosts);
        assert_eq!(v1("/", &["a.test:8443"]), Ok(()));
        assert_eq!(v1("/", &["[::1]:8443"]), Ok(()));
        assert_eq!(v1("http://a.test/", &["A.test"]), Ok(()));
        for hosts in [
            &[][..],
            &["a", "a"],
            &["a", "b"],
            &[""],
            &["a b"],
            &["u@a"],
            &["a/b"],
            &["a,b"],
            &["a%2e"],
            &["a:"],
            &["a:x"],
            &["a:99999"],
            &["[a]"],
        ] {
            assert_eq!(v1("/", hosts), BAD, "{hosts:?}");
        }
        assert_eq!(v1("http://a.test/", &["b.test"]), BAD);
        assert_eq!(v1("http://u@a.test/", &["u@a.test"]), BAD);
        assert_eq!(verdict(Version::HTTP_10, Method::GET, "/", &[]), Ok(()));
        assert_eq!(v2("https://a.test/", &[]), Ok(()));
        assert_eq!(v2("https://a.test/", &["b.test"]), BAD);
        assert_eq!(v2("/", &[]), BAD);
    }

    #[test]
    fn tunnels_and_stray_asterisks_are_refused() {
        assert_eq!(
            verdict(Version::HTTP_11, Method::CONNECT, "a.test:443", &["a.test:443"]),
            Err(ProblemType::MethodNotAllowed)
        );
        assert_eq!(verdict(Version::HTTP_11, Method::GET, "*", &["a"]), Err(ProblemType::BadRequest));
        assert_eq!(verdict(Version::HTTP_11, Method::OPTIONS, "*", &["a"]), Ok(()));
    }

    #[test]
    fn a_body_is_framed_in_one_way() {
        let request = |codings: &[&str]| {
            let mut builder = Request::builder().uri("/").header(HOST, "a");
            for coding in codings {
                builder = builder.header(TRANSFER_ENCODING, *coding);
            }
            check(&builder.body(()).unwrap(), &Limits::default()).is_ok()
        };
        assert!(request(&["Chunked"]));
        assert!(!request(&["gzip, chunked"]) && !request(&["chunked", "chunked"]) && !request(&["identity"]));
    }

    #[test]
    fn size_limits_hold_in_every_version() {
        let limits = Limits { headers_count: 2, headers_bytes: 200, ..Limits::default() };
        let request = |fields: &[(&str, &str)]| {
            let mut builder = Request::builder().uri("/").header(HOST, "a");
            for (name, value) in fields {
                builder = builder.header(*name, *value);
            }
            check(&builder.body(()).unwrap(), &limits).map_err(|problem| problem.kind())
        };
        assert_eq!(request(&[("a", "1")]), Ok(()));
        assert_eq!(request(&[("a", "1"), ("b", "2")]), Err(ProblemType::HeadersTooLarge));
        assert_eq!(request(&[("a", &"1".repeat(200))]), Err(ProblemType::HeadersTooLarge));
    }
}
