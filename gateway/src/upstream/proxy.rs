//! Passing a request to one HTTP origin: which fields travel, and the streams in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_http::{Body, BodyError, ProblemType, ResponseBody};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, HeaderName, IF_RANGE,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::timeout_at;

use super::client::Client;
use crate::config::OriginTarget;
use crate::error::{Refusal, StartError};
use crate::identity::dpop::DPOP;
use crate::policy::body::forget_bytes;
use crate::policy::view::RequestFacts;
use crate::telemetry::trace::TRACEPARENT;

/// Time to open a connection to an origin.
const CONNECT: Duration = Duration::from_secs(2);

/// Fields of one connection (RFC 9110, section 7.6.1), beside those that `Connection` names. `Trailer` is none of them: the
/// fields that it announces go on, and over HTTP/1.1 only those (section 6.6.2).
pub(super) const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// An origin.
pub(crate) struct Origin {
    client: Client,
    /// For WebSockets, where the route has them: HTTP/1.1 alone.
    pub(super) sockets: Option<Client>,
    scheme: http::uri::Scheme,
    authority: http::uri::Authority,
}

/// What passing needs to know of a request.
pub(crate) struct Passing<'a> {
    /// Its head, with the edits of policies.
    pub(crate) facts: &'a RequestFacts,
    /// Name of this node, for `Via`.
    pub(crate) pop: &'a str,
    /// Whether the caller's token goes on.
    pub(crate) forward_authorization: bool,
    /// `traceparent` to send on.
    pub(crate) trace: Option<HeaderValue>,
    /// When the head of the answer must have come.
    pub(crate) deadline: Instant,
    /// Whether policies must see the answer whole.
    pub(crate) look_inside: bool,
    /// Whether policies may have changed the request's body.
    pub(crate) changed: bool,
    /// How long the origin may be silent within its answer.
    pub(crate) idle: Duration,
}

/// An origin's answer; its body still streams.
pub(crate) struct Answer {
    /// Status.
    pub(crate) status: StatusCode,
    /// Fields, without those of the connection.
    pub(crate) headers: HeaderMap,
    /// Body.
    pub(crate) body: ResponseBody,
}

impl Passing<'_> {
    /// The request's fields, as they go to whoever is behind. Those of the client's connection went before the policies
    /// saw the head.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = self.facts.headers.clone();
        // Whoever sends the body writes its length.
        headers.remove(CONTENT_LENGTH);
        if self.changed {
            forget_bytes(&mut headers);
        }
        if !self.forward_authorization {
            headers.remove(AUTHORIZATION);
            headers.remove(DPOP);
        }
        if self.look_inside {
            // An answer that is looked into must come whole and as it is.
            for name in [ACCEPT_ENCODING, RANGE, IF_RANGE] {
                headers.remove(name);
            }
        }
        if let Some(trace) = &self.trace {
            headers.insert(TRACEPARENT, trace.clone());
        }
        headers
    }

    /// An origin's answer, as it goes on.
    pub(super) fn answer(&self, response: Response<Incoming>) -> Answer {
        let (mut head, body) = response.into_parts();
        strip_hop_by_hop(&mut head.headers);
        append_via(&mut head.headers, self.pop);
        Answer { status: head.status, headers: head.headers, body: Body::from(body).limited(u64::MAX, self.idle) }
    }
}

impl Origin {
    /// The origin of a route.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(crate) fn new(target: &OriginTarget) -> Result<Self, StartError> {
        let refuse = |reason: String| StartError::File { key: "origin".into(), path: target.url.to_string(), reason };
        let uri: Uri = target.url.as_str().parse().map_err(|error| refuse(format!("{error}")))?;
        let parts = uri.into_parts();
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority)) => {
                let sockets = target.websocket.then(|| Client::http1(CONNECT)).transpose()?;
                Ok(Self { client: Client::new(None, None, CONNECT)?, sockets, scheme, authority })
            }
            _ => Err(refuse("names no host".into())),
        }
    }

    /// Passes a request on and waits for the head of its answer.
    ///
    /// # Errors
    /// 502 where the origin cannot be reached, 504 at the deadline.
    pub(crate) async fn pass(&self, passing: &Passing<'_>, body: Body) -> Result<Answer, Refusal> {
        let (body, fault) = watched(body);
        let request = self.request(passing, body)?;
        let response = match timeout_at(passing.deadline.into(), self.client.send(request)).await {
            Err(_) => return Err(Refusal::deadline("forward")),
            Ok(Err(error)) => {
                // What broke may have been the client's body and not the origin.
                if let Some(fault) = fault.lock().take() {
                    return Err(fault.into());
                }
                return Err(Refusal::new(ProblemType::BadGateway, "the origin could not be reached").because(error));
            }
            Ok(Ok(response)) => response,
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let refusal = Refusal::new(ProblemType::BadGateway, "the origin answered what it was not asked");
            return Err(refusal.because("101 without Upgrade"));
        }
        Ok(passing.answer(response))
    }

    pub(super) fn request(&self, passing: &Passing<'_>, body: Body) -> Result<Request<Body>, Refusal> {
        let facts = passing.facts;
        let internal = |error: http::Error| {
            Refusal::new(ProblemType::Internal, "this request could not be forwarded").because(error)
        };
        let path_and_query = match &facts.query {
            Some(query) => format!("{}?{query}", facts.path),
            None => facts.path.clone(),
        };
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path_and_query)
            .build()
            .map_err(internal)?;
        let mut headers = self.headers(passing);
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            // The client library takes a GET whose body has no length for one without a body, unless it is told. Over
            // HTTP/2 it removes the field.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::builder().method(facts.method.clone()).uri(uri).body(body).map_err(internal)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn headers(&self, passing: &Passing<'_>) -> HeaderMap {
        let mut headers = passing.headers();
        if let Ok(forwarded) = HeaderValue::try_from(format!("host=\"{}\";proto=https", passing.facts.host)) {
            headers.insert(FORWARDED, forwarded);
        }
        if let Ok(host) = HeaderValue::try_from(self.authority.as_str()) {
            headers.insert(HOST, host);
        }
        append_via(&mut headers, passing.pop);
        headers
    }
}

/// Why a body broke, once it has.
type Fault = Arc<Mutex<Option<BodyError>>>;

/// A body that remembers why it broke: the client library reports that as its own failure.
fn watched(body: Body) -> (Body, Fault) {
    if body.is_end_stream() || body.as_full().is_some() {
        return (body, Fault::default());
    }
    let fault = Fault::default();
    let remembers = Arc::clone(&fault);
    let body = body.map_err(move |error| {
        *remembers.lock() = Some(error.clone());
        error
    });
    (Body::boxed(body), fault)
}

fn append_via(headers: &mut HeaderMap, pop: &str) {
    if let Ok(via) = HeaderValue::try_from(format!("1.1 {pop}")) {
        headers.append(VIA, via);
    }
}

/// Removes the fields of one connection.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(HOP_BY_HOP.iter()) {
        headers.remove(name);
    }
}

/// Removes what a client says of where it came from (RFC 7239), and our own fields: that is ours to say.
pub(crate) fn strip_claims(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}

pub(super) fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "forwarded" || name == "x-real-ip" || name.starts_with("x-forwarded-") || name.starts_with("forebay-")
}

/// Makes one `Cookie` of those that HTTP/2 splits (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cookie_crumbs_are_joined_and_claims_dropped() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", "a=1".parse().unwrap());
        headers.append("cookie", "b=2".parse().unwrap());
        headers.insert("x-forwarded-for", "10.0.0.1".parse().unwrap());
        headers.insert("forebay-timeout-ms", "1".parse().unwrap());
        join_cookies(&mut headers);
        strip_claims(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers.get("cookie").unwrap(), "a=1; b=2");
    }

    /// What goes on of a head with fields of every kind.
    fn goes_on(look_inside: bool, changed: bool, forward_authorization: bool) -> Vec<String> {
        let names = [
            "accept",
            "accept-encoding",
            "authorization",
            "content-digest",
            "content-length",
            "dpop",
            "if-range",
            "range",
        ];
        let facts = RequestFacts {
            method: http::Method::POST,
            path: "/".into(),
            query: None,
            host: "localhost".into(),
            headers: names.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static("1"))).collect(),
            route: "site".into(),
            model: None,
            dialect: "http",
            peer: [127, 0, 0, 1].into(),
            version: http::Version::HTTP_11,
            trace_id: String::new(),
            areas: None,
        };
        let (deadline, idle) = (Instant::now(), Duration::ZERO);
        let (facts, pop, trace) = (&facts, "pop", None);
        let passing = Passing { facts, pop, forward_authorization, trace, deadline, look_inside, changed, idle };
        let mut names: Vec<String> = passing.headers().keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn origins_and_functions_see_what_is_theirs() {
        let all = ["accept", "accept-encoding", "authorization", "content-digest", "dpop", "if-range", "range"];
        assert_eq!(goes_on(false, false, true), all);
        assert_eq!(goes_on(false, false, false), ["accept", "accept-encoding", "content-digest", "if-range", "range"]);
        assert_eq!(goes_on(true, false, false), ["accept", "content-digest"]);
        assert_eq!(goes_on(true, true, false), ["accept"]);
    }

    #[test]
    fn fields_of_the_connection_stay_on_it() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "close, x-mine".parse().unwrap());
        headers.insert("x-mine", "1".parse().unwrap());
        headers.insert("te", "trailers".parse().unwrap());
        headers.insert("accept", "*/*".parse().unwrap());
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }
}
