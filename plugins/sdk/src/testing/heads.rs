//! Doubles of heads. They keep what was edited, so that a test can look at it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::Value;

use crate::identity::Absence;

/// Fields by their name in lower case.
type Fields = Rc<RefCell<BTreeMap<String, Vec<u8>>>>;

fn read(fields: &Fields, name: &str) -> Option<Vec<u8>> {
    let name = name.to_ascii_lowercase();
    // As in the host: a plugin works with claims.
    if matches!(name.as_str(), "authorization" | "proxy-authorization") {
        return None;
    }
    fields.borrow().get(&name).cloned()
}

fn names(fields: &Fields) -> Vec<String> {
    fields.borrow().keys().cloned().collect()
}

fn set(fields: &Fields, name: &str, value: &[u8]) {
    fields.borrow_mut().insert(name.to_ascii_lowercase(), value.to_vec());
}

fn remove(fields: &Fields, name: &str) {
    fields.borrow_mut().remove(&name.to_ascii_lowercase());
}

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    facts: Facts,
    fields: Fields,
    areas: Rc<RefCell<Option<Vec<String>>>>,
}

#[derive(Clone, Debug)]
struct Facts {
    method: String,
    path: String,
    query: Option<String>,
    host: String,
    route: String,
    model: Option<String>,
    dialect: String,
    peer: String,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            query: None,
            host: "localhost".to_owned(),
            route: "route".to_owned(),
            model: None,
            dialect: "http".to_owned(),
            peer: "192.0.2.1".to_owned(),
        }
    }
}

impl Request {
    /// The method, as sent: `POST`.
    #[must_use]
    pub fn method(&self) -> String {
        self.facts.method.clone()
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> String {
        self.facts.path.clone()
    }

    /// The host that the client asked for, without the port.
    #[must_use]
    pub fn host(&self) -> String {
        self.facts.host.clone()
    }

    /// What follows the `?`, undecoded.
    #[must_use]
    pub fn query(&self) -> Option<String> {
        self.facts.query.clone()
    }

    /// The combined value of a field; repeated ones are joined by `, `. None for `authorization`, always.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        read(&self.fields, name)
    }

    /// The name of the route.
    #[must_use]
    pub fn route(&self) -> String {
        self.facts.route.clone()
    }

    /// The model, on an inference route.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        self.facts.model.clone()
    }

    /// The dialect of the route: `oip`, `http` and so on.
    #[must_use]
    pub fn dialect(&self) -> String {
        self.facts.dialect.clone()
    }

    /// The names of the fields, in lower case, sorted.
    #[must_use]
    pub fn header_names(&self) -> Vec<String> {
        names(&self.fields)
    }

    /// The address of the client's connection.
    #[must_use]
    pub fn peer(&self) -> String {
        self.facts.peer.clone()
    }

    /// The protocol of the client's connection.
    #[must_use]
    pub fn protocol(&self) -> String {
        "HTTP/2.0".to_owned()
    }

    /// The trace that the request belongs to.
    #[must_use]
    pub fn trace_id(&self) -> String {
        "4bf92f3577b34da6a3ce929d0e0e4736".to_owned()
    }

    /// Sets a field, in place of every field of that name.
    pub fn set_header(&self, name: &str, value: &[u8]) {
        set(&self.fields, name, value);
    }

    /// Removes every field of that name.
    pub fn remove_header(&self, name: &str) {
        remove(&self.fields, name);
    }

    /// Narrows the legal areas whose regions may answer; together with earlier calls.
    pub fn restrict_jurisdictions(&self, areas: &[String]) {
        let mut kept = self.areas.borrow_mut();
        match kept.as_mut() {
            Some(kept) => kept.retain(|area| areas.contains(area)),
            None => *kept = Some(areas.to_vec()),
        }
    }
}

/// The request that this is about, in any hook.
#[must_use]
pub fn current_request() -> Request {
    super::with(|host| host.request.clone())
}

/// A request to ask a plugin about. Making one begins a new request: it is the current one, nobody is known to ask, and
/// there are no notes.
#[derive(Clone, Debug)]
pub struct RequestBuilder(Request);

impl RequestBuilder {
    /// A request of this method for a path, with its query if there is one.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let facts = Facts { method: method.to_owned(), path: path.to_owned(), query, ..Facts::default() };
        super::with(|host| {
            host.claims = Err(Absence::Missing);
            host.tenant = None;
            host.notes.clear();
        });
        Self(Request { facts, ..Request::default() }).now()
    }

    /// A GET request.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST request.
    #[must_use]
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// With a header field; one that is there already gets another value.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let value = match read(&self.0.fields, name) {
            Some(before) => [&before, ", ".as_bytes(), value.as_bytes()].concat(),
            None => value.as_bytes().to_vec(),
        };
        set(&self.0.fields, name, &value);
        self
    }

    /// On this host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.0.facts.host);
        self.now()
    }

    /// On this route.
    #[must_use]
    pub fn route(mut self, route: &str) -> Self {
        route.clone_into(&mut self.0.facts.route);
        self.now()
    }

    /// For this model, on an inference route.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.0.facts.model = Some(model.to_owned());
        "oip".clone_into(&mut self.0.facts.dialect);
        self.now()
    }

    /// From this address.
    #[must_use]
    pub fn peer(mut self, peer: &str) -> Self {
        peer.clone_into(&mut self.0.facts.peer);
        self.now()
    }

    /// By somebody with these claims. The tenant is the claim `tenant`, if there is one.
    #[must_use]
    pub fn claims(self, claims: Value) -> Self {
        let tenant = claims.get("tenant").and_then(Value::as_str).map(str::to_owned);
        super::with(|host| (host.claims, host.tenant) = (Ok(claims), tenant));
        self
    }

    /// By nobody, for this reason.
    #[must_use]
    pub fn absent(self, absence: Absence) -> Self {
        super::with(|host| (host.claims, host.tenant) = (Err(absence), None));
        self
    }

    /// Of this tenant.
    #[must_use]
    pub fn tenant(self, tenant: &str) -> Self {
        super::with(|host| host.tenant = Some(tenant.to_owned()));
        self
    }

    /// The legal areas that the plugin left, when it narrowed them.
    #[must_use]
    pub fn jurisdictions(&self) -> Option<Vec<String>> {
        self.0.areas.borrow().clone()
    }

    fn now(self) -> Self {
        super::with(|host| host.request = self.0.clone());
        self
    }
}

impl Deref for RequestBuilder {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.0
    }
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    fields: Fields,
}

impl Response {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// As [`Request::header`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        read(&self.fields, name)
    }

    /// As [`Request::header_names`].
    #[must_use]
    pub fn header_names(&self) -> Vec<String> {
        names(&self.fields)
    }

    /// As [`Request::set_header`].
    pub fn set_header(&self, name: &str, value: &[u8]) {
        set(&self.fields, name, value);
    }

    /// As [`Request::remove_header`].
    pub fn remove_header(&self, name: &str) {
        remove(&self.fields, name);
    }
}

/// A response to ask a plugin about.
#[derive(Clone, Debug)]
pub struct ResponseBuilder(Response);

impl ResponseBuilder {
    /// A response of this status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self(Response { status, fields: Fields::default() })
    }

    /// With a header field.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        set(&self.0.fields, name, value.as_bytes());
        self
    }
}

impl Deref for ResponseBuilder {
    type Target = Response;

    fn deref(&self) -> &Response {
        &self.0
    }
}

/// The fields that follow a body.
#[derive(Clone, Debug, Default)]
pub struct Trailers(Fields);

impl Trailers {
    /// As [`Request::header`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        read(&self.0, name)
    }

    /// As [`Request::header_names`].
    #[must_use]
    pub fn header_names(&self) -> Vec<String> {
        names(&self.0)
    }

    /// As [`Request::set_header`].
    pub fn set_header(&self, name: &str, value: &[u8]) {
        set(&self.0, name, value);
    }

    /// As [`Request::remove_header`].
    pub fn remove_header(&self, name: &str) {
        remove(&self.0, name);
    }
}

/// Trailers to ask a plugin about.
#[derive(Clone, Debug, Default)]
pub struct TrailersBuilder(Trailers);

impl TrailersBuilder {
    /// With a field.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        set(&self.0.0, name, value.as_bytes());
        self
    }
}

impl Deref for TrailersBuilder {
    type Target = Trailers;

    fn deref(&self) -> &Trailers {
        &self.0
    }
}
