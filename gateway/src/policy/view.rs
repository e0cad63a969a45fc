//! Heads as plugins see them.

use std::borrow::{Borrow, Cow};
use std::net::IpAddr;

use forebay_policy::{HeadEdits, RequestView, ResponseView, combined, names};
use http::{HeaderMap, Method, Version};

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
    /// Address of the client's connection.
    pub(crate) peer: IpAddr,
    /// Protocol of the client's connection.
    pub(crate) version: Version,
    /// The trace it belongs to.
    pub(crate) trace_id: String,
    /// The legal areas that policies left, where one restricted them.
    pub(crate) areas: Option<Vec<String>>,
}

impl RequestFacts {
    /// Makes a plugin's edits.
    pub(crate) fn edit(&mut self, edits: &HeadEdits) {
        edits.apply(&mut self.headers);
        self.areas = edits.jurisdictions(self.areas.take());
    }
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

    fn header_names(&self) -> Vec<String> {
        names(&self.headers)
    }

    fn peer(&self) -> IpAddr {
        self.peer
    }

    fn protocol(&self) -> &str {
        match self.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        }
    }

    fn trace_id(&self) -> &str {
        &self.trace_id
    }

    fn jurisdictions(&self) -> Option<&[String]> {
        self.areas.as_deref()
    }
}

/// The head of a response, whose fields are its own or borrowed.
#[derive(Debug)]
pub(crate) struct ResponseFacts<H = HeaderMap> {
    /// Status code.
    pub(crate) status: u16,
    /// Fields.
    pub(crate) headers: H,
}

impl<H: Borrow<HeaderMap> + Send + Sync> ResponseView for ResponseFacts<H> {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        combined(self.headers.borrow(), name)
    }

    fn header_names(&self) -> Vec<String> {
        names(self.headers.borrow())
    }
}
