//! Heads as plugins see them. Credentials are left out when the view is made, so no plugin can read one.

use std::borrow::Cow;

use forebay_policy::{RequestView, ResponseView};
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method};

/// The head of a request, owned, with the edits made so far.
#[derive(Debug, Clone)]
pub(crate) struct RequestFacts {
    /// Method.
    pub(crate) method: Method,
    /// Path without query.
    pub(crate) path: String,
    /// Query without `?`.
    pub(crate) query: Option<String>,
    /// Host without port.
    pub(crate) host: String,
    /// Fields.
    pub(crate) headers: HeaderMap,
    /// The route's name.
    pub(crate) route: String,
    /// The model, on an inference route.
    pub(crate) model: Option<String>,
    /// The route's dialect.
    pub(crate) dialect: &'static str,
}

impl RequestView for RequestFacts {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        combined(&self.headers, name)
    }

    fn route(&self) -> &str {
        &self.route
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn dialect(&self) -> &str {
        self.dialect
    }
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct ResponseFacts {
    /// Status code.
    pub(crate) status: u16,
    /// Fields.
    pub(crate) headers: HeaderMap,
}

impl ResponseView for ResponseFacts {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        combined(&self.headers, name)
    }
}

/// Repeated fields as one value (RFC 9110, section 5.2).
fn combined<'h>(headers: &'h HeaderMap, name: &str) -> Option<Cow<'h, [u8]>> {
    if name == AUTHORIZATION.as_str() || name == PROXY_AUTHORIZATION.as_str() {
        return None;
    }
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.as_bytes();
    let Some(second) = values.next() else {
        return Some(Cow::Borrowed(first));
    };
    let mut joined = first.to_vec();
    for value in std::iter::once(second).chain(values) {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(value.as_bytes());
    }
    Some(Cow::Owned(joined))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn repeated_fields_join_and_credentials_are_absent() {
        let mut headers = HeaderMap::new();
        headers.append("accept", "a".parse().unwrap());
        headers.append("accept", "b".parse().unwrap());
        headers.append("authorization", "Bearer secret".parse().unwrap());
        assert_eq!(combined(&headers, "accept").unwrap().as_ref(), b"a, b");
        assert!(combined(&headers, "authorization").is_none());
        assert!(combined(&headers, "x-none").is_none());
    }
}
