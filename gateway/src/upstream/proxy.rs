//! Passing a request to one HTTP origin: which fields travel, and the streams in between.

use std::time::{Duration, Instant};

use forebay_http::{Body, ProblemType, ResponseBody};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use tokio::time::timeout_at;

use super::client::Client;
use crate::config::OriginTarget;
use crate::error::{Refusal, StartError};
use crate::policy::view::RequestFacts;
use crate::telemetry::trace::TRACEPARENT;

/// Time to open a connection to an origin.
const CONNECT: Duration = Duration::from_secs(2);

/// Fields of one connection (RFC 9110, section 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// An origin.
pub(crate) struct Origin {
    client: Client,
    scheme: http::uri::Scheme,
    authority: http::uri::Authority,
}

/// What passing needs to know of a request.
pub(crate) struct Passing<'a> {
    /// Its head, with the edits of policies.
    pub facts: &'a RequestFacts,
    /// Name of this node, for `Via`.
    pub pop: &'a str,
    /// Whether the caller's token goes on.
    pub forward_authorization: bool,
    /// `traceparent` to send on.
    pub trace: Option<HeaderValue>,
    /// When the head of the answer must have come.
    pub deadline: Instant,
    /// How long the origin may be silent within its answer.
    pub idle: Duration,
}

/// An origin's answer; its body still streams.
pub(crate) struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Fields, without those of the connection.
    pub headers: HeaderMap,
    /// Body.
    pub body: ResponseBody,
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
                Ok(Self { client: Client::new(None, None, CONNECT)?, scheme, authority })
            }
            _ => Err(refuse("names no host".into())),
        }
    }

    /// Passes a request on and waits for the head of its answer.
    ///
    /// # Errors
    /// 502 where the origin cannot be reached, 504 at the deadline.
    pub(crate) async fn pass(&self, passing: &Passing<'_>, body: Body) -> Result<Answer, Refusal> {
        let request = self.request(passing, body)?;
        let response = match timeout_at(passing.deadline.into(), self.client.send(request)).await {
            Err(_) => return Err(Refusal::deadline("forward")),
            Ok(Err(error)) => {
                return Err(Refusal::new(ProblemType::BadGateway, "the origin could not be reached").because(error));
            }
            Ok(Ok(response)) => response,
        };
        let (mut head, body) = response.into_parts();
        strip_hop_by_hop(&mut head.headers);
        append_via(&mut head.headers, passing.pop);
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: Body::from(body).limited(u64::MAX, passing.idle),
        })
    }

    fn request(&self, passing: &Passing<'_>, body: Body) -> Result<Request<Body>, Refusal> {
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
        let mut request = Request::builder().method(facts.method.clone()).uri(uri).body(body).map_err(internal)?;
        *request.headers_mut() = self.headers(passing);
        Ok(request)
    }

    fn headers(&self, passing: &Passing<'_>) -> HeaderMap {
        let mut headers = passing.facts.headers.clone();
        strip_hop_by_hop(&mut headers);
        // The body may have been changed; the client writes its length.
        headers.remove(CONTENT_LENGTH);
        if !passing.forward_authorization {
            headers.remove(AUTHORIZATION);
        }
        // Claims about where a request came from are ours to make (RFC 7239).
        for name in [FORWARDED, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")] {
            headers.remove(name);
        }
        if let Ok(forwarded) = HeaderValue::try_from(format!("host=\"{}\";proto=https", passing.facts.host)) {
            headers.insert(FORWARDED, forwarded);
        }
        if let Ok(host) = HeaderValue::try_from(self.authority.as_str()) {
            headers.insert(HOST, host);
        }
        if let Some(trace) = &passing.trace {
            headers.insert(TRACEPARENT, trace.clone());
        }
        append_via(&mut headers, passing.pop);
        headers
    }
}

fn append_via(headers: &mut HeaderMap, pop: &str) {
    if let Ok(via) = HeaderValue::try_from(format!("1.1 {pop}")) {
        headers.append(VIA, via);
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
