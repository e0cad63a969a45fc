//! Whom a request is addressed to.

use http::Request;
use http::header::HOST;
use http::uri::Authority;

/// The host and port that a request names, in any HTTP version: the target's authority or else the Host field. Requests
/// that reach a handler name at most one; only HTTP/1.0 requests may name none.
#[must_use]
pub fn authority<B>(request: &Request<B>) -> Option<Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    Authority::try_from(request.headers().get(HOST)?.as_bytes()).ok()
}
