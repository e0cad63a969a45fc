//! What the plugins are asked about: a request with twenty header fields, by somebody with two claims.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_policy::{Absence, Context, IdentityView, RequestView, combined};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What the rule looks at, and a field that it removes.
const FIELDS: [(&str, &str); 4] = [
    ("user-agent", "bench/1.0 (Linux; x86_64)"),
    ("x-client-version", "2.4.1"),
    ("x-client-region", "eu"),
    ("x-debug", "1"),
];
/// Others beside them.
const MORE: usize = 16;

pub(crate) struct Request {
    headers: HeaderMap,
}

pub(crate) struct Acme;

/// A request that every rule here lets in.
pub(crate) fn context() -> Context {
    let mut headers = HeaderMap::new();
    for number in 0..MORE {
        if let Ok(name) = HeaderName::try_from(format!("x-field-{number}")) {
            headers.insert(name, HeaderValue::from_static("a value as long as many are"));
        }
    }
    for (name, value) in FIELDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let deadline = Instant::now() + Duration::from_secs(3_600);
    Context { request: Arc::new(Request { headers }), identity: Arc::new(Acme), deadline, notes: Arc::default() }
}

impl RequestView for Request {
    fn method(&self) -> &str {
        "POST"
    }
    fn path(&self) -> &str {
        "/v2/models/minilm/infer"
    }
    fn host(&self) -> &str {
        "localhost"
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        combined(&self.headers, name)
    }
    fn route(&self) -> &str {
        "oip"
    }
    fn model(&self) -> Option<&str> {
        Some("minilm")
    }
    fn dialect(&self) -> &str {
        "oip"
    }
    fn header_names(&self) -> Vec<String> {
        forebay_policy::names(&self.headers)
    }
    fn peer(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
    fn protocol(&self) -> &str {
        "HTTP/2.0"
    }
    fn trace_id(&self) -> &str {
        "4bf92f3577b34da6a3ce929d0e0e4736"
    }
}

impl IdentityView for Acme {
    fn claims(&self) -> Result<&str, Absence> {
        Ok(r#"{"scope":"infer","tenant":"acme"}"#)
    }
    fn claim(&self, pointer: &str) -> Option<Cow<'_, str>> {
        match pointer {
            "/scope" => Some(Cow::Borrowed(r#""infer""#)),
            "/tenant" => Some(Cow::Borrowed(r#""acme""#)),
            _ => None,
        }
    }
    fn tenant(&self) -> Option<&str> {
        Some("acme")
    }
}
