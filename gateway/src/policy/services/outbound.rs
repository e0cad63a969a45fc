//! Behind `outbound`: HTTP to the origins that one plugin may reach, and to nothing else.
//!
//! The list holds exact origins (scheme, host, port), so a plugin cannot be talked into asking another: no redirect is
//! followed, no proxy is taken from the environment, no cookie is kept, `Host` comes from the URL. What an origin's name
//! resolves to is in the hands of whoever answers for the name, so addresses that mean this machine or its own link
//! (loopback, link-local with the metadata services of clouds, unspecified, multicast) are never connected to by name; an
//! operator who means one writes the address itself, or `localhost`. Private networks may be reached by name: that is
//! where guards stand, and the certificate must fit the name.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_http::{Body, BodyError, collect_bounded};
use forebay_policy::services::{Incoming, Outbound, OutboundFailure, Outgoing, Wait};
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;
use url::Url;

use crate::config;
use crate::error::StartError;
use crate::upstream::proxy::strip_hop_by_hop;

pub(crate) mod resolver;

use resolver::Outward;

/// Time to open a connection; the request's own bound is often shorter.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept to one host.
const IDLE_PER_HOST: usize = 16;
/// Fields of a request.
const FIELDS_MAX: usize = 64;
/// Bytes of names and values of a request's fields.
const FIELD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A plugin's way out.
pub(super) struct PluginOutbound {
    client: legacy::Client<HttpsConnector<HttpConnector<Outward>>, Body>,
    origins: BTreeSet<Origin>,
    time: Duration,
    answer_bytes: usize,
    places: Semaphore,
}

/// Scheme, host and port.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Origin(String, String, u16);

impl Origin {
    /// The origin of an address; none where it has no host or no port.
    fn of(url: &Url) -> Option<Self> {
        Some(Self(url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()?))
    }
}

impl PluginOutbound {
    /// # Errors
    /// The roots to trust cannot be read.
    pub(super) fn new(outbound: &config::Outbound) -> Result<Self, StartError> {
        let tls = forebay_http::tls::client_config(outbound.ca.as_deref(), None)?;
        let mut tcp = HttpConnector::new_with_resolver(Outward::default());
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions().wrap_connector(tcp);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http2_max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .build(connector);
        Ok(Self {
            client,
            origins: outbound.origins.iter().filter_map(Origin::of).collect(),
            time: outbound.time,
            answer_bytes: outbound.answer_bytes,
            places: Semaphore::new(outbound.calls),
        })
    }

    async fn exchange(&self, request: Outgoing, deadline: Instant) -> Result<Incoming, OutboundFailure> {
        let until = deadline.min(Instant::now() + request.timeout.min(self.time));
        let request = self.request(request)?;
        let _place = self.places.try_acquire().map_err(|_| OutboundFailure::Busy)?;
        let sent = timeout_at(until.into(), self.client.request(request)).await;
        let response = sent.map_err(|_| OutboundFailure::Timeout)?.map_err(|error| {
            tracing::debug!(%error, cause = std::error::Error::source(&error), "no answer to a plugin's request");
            OutboundFailure::Unreachable
        })?;
        self.read(response, until).await
    }

    /// What is sent, if it is a request to an allowed origin.
    fn request(&self, outgoing: Outgoing) -> Result<Request<Body>, OutboundFailure> {
        let uri = self.address(&outgoing.url)?;
        let method = Method::from_bytes(outgoing.method.as_bytes()).map_err(|_| OutboundFailure::BadRequest)?;
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(OutboundFailure::BadRequest);
        }
        let mut request = Request::new(Body::full(outgoing.body));
        *request.headers_mut() = fields(&outgoing.headers)?;
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        Ok(request)
    }

    fn address(&self, url: &str) -> Result<Uri, OutboundFailure> {
        let mut url = Url::parse(url).map_err(|_| OutboundFailure::BadRequest)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundFailure::BadRequest);
        }
        let origin = Origin::of(&url).ok_or(OutboundFailure::BadRequest)?;
        if !self.origins.contains(&origin) {
            return Err(OutboundFailure::NotAllowed);
        }
        url.set_fragment(None);
        // What is connected to is read from the same text that was compared.
        Uri::try_from(url.as_str()).map_err(|_| OutboundFailure::BadRequest)
    }

    async fn read(
        &self,
        response: Response<hyper::body::Incoming>,
        until: Instant,
    ) -> Result<Incoming, OutboundFailure> {
        let (mut head, body) = response.into_parts();
        let body: Bytes =
            collect_bounded(body, self.answer_bytes, until.into()).await.map_err(|error| match error {
                BodyError::TooLarge { .. } => OutboundFailure::TooLarge,
                BodyError::TimedOut => OutboundFailure::Timeout,
                BodyError::Broken(_) => OutboundFailure::Unreachable,
            })?;
        strip_hop_by_hop(&mut head.headers);
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        Ok(Incoming { status: head.status.as_u16(), headers: head.headers.iter().filter_map(text).collect(), body })
    }
}

impl Outbound for PluginOutbound {
    fn send(&self, request: Outgoing, deadline: Instant) -> Wait<'_, Result<Incoming, OutboundFailure>> {
        Box::pin(self.exchange(request, deadline))
    }
}

/// The fields of a request, all of which must be ones that a plugin may send: none of the connection, none that says
/// where the request goes or how long it is.
fn fields(fields: &[(String, String)]) -> Result<HeaderMap, OutboundFailure> {
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    if fields.len() > FIELDS_MAX || bytes > FIELD_BYTES_MAX {
        return Err(OutboundFailure::BadRequest);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OutboundFailure::BadRequest)?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| OutboundFailure::BadRequest)?;
        headers.append(name, value);
    }
    let told = headers.keys_len();
    strip_hop_by_hop(&mut headers);
    let is_ours = [HOST, CONTENT_LENGTH, EXPECT].iter().any(|name| headers.contains_key(name));
    if is_ours || headers.keys_len() != told { Err(OutboundFailure::BadRequest) } else { Ok(headers) }
}

#[cfg(test)]
mod tests;
