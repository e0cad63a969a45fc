//! What a component's own requests go through: the list of origins, the limits, and the caller's network.

use std::future::Future;
use std::sync::Arc;

use forebay_http::Body;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode as ErrorCode2;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode as ErrorCode3;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

use crate::guarded::{Alive, Guarded, told};
use crate::limits::{CHUNK_BYTES, CallLimits};
use crate::outside::Outside;
use crate::upstream::{Origin, Upstream, UpstreamError};

/// The prefix of the gateway's own fields, which components neither see nor set.
const OWN_PREFIX: &str = "forebay-";

/// The state of one instance's requests.
pub(crate) struct Hooks {
    pub(crate) next: Option<Arc<dyn Upstream>>,
    pub(crate) outbound: Option<Arc<dyn Upstream>>,
    pub(crate) origins: Arc<[Origin]>,
    pub(crate) limits: Arc<CallLimits>,
    pub(crate) alive: Alive,
    pub(crate) calls: u32,
    pub(crate) outside: Outside,
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, Io), Error>;

impl Hooks {
    /// A request to what comes next, ready to be awaited.
    pub(crate) fn next(
        &mut self,
        request: Request<WasiBody>,
    ) -> impl Future<Output = Result<Response<WasiBody>, Error>> + Send + use<> {
        let upstream = self.next.clone().ok_or(Error::DestinationNotFound);
        self.exchange(upstream, request)
    }

    fn exchange(
        &mut self,
        upstream: Result<Arc<dyn Upstream>, Error>,
        request: Request<WasiBody>,
    ) -> impl Future<Output = Result<Response<WasiBody>, Error>> + Send + use<> {
        let prepared = upstream.and_then(|upstream| Ok((upstream, self.prepare(request)?)));
        let limits = Arc::clone(&self.limits);
        async move {
            let (upstream, request) = prepared?;
            let response = upstream.send(request).await.map_err(error_of)?;
            let body = |body: Body| body.limited(limits.body_bytes, limits.idle);
            Ok(response.map(|whole| body(whole).map_err(|error| told(&error)).boxed_unsync()))
        }
    }

    /// Counts a request and holds it to the limits.
    fn prepare(&mut self, request: Request<WasiBody>) -> Result<Request<Body>, Error> {
        self.calls += 1;
        self.outside.asked();
        if self.calls > self.limits.upstream_calls {
            return Err(Error::ConnectionLimitReached);
        }
        within(request.headers(), &self.limits).map_err(|_| Error::HttpRequestHeaderSectionSize(None))?;
        let (alive, most) = (self.alive.clone(), self.limits.body_bytes);
        Ok(request.map(|body| Body::boxed(Guarded::new(body, alive, most))))
    }

    fn allowed(&self, request: &Request<WasiBody>) -> Result<Arc<dyn Upstream>, Error> {
        let listed = Origin::of(request.uri()).is_some_and(|origin| self.origins.contains(&origin));
        if !listed {
            return Err(Error::HttpRequestDenied);
        }
        self.outbound.clone().ok_or(Error::HttpRequestDenied)
    }
}

fn error_of(error: UpstreamError) -> Error {
    match error {
        UpstreamError::Unreachable => Error::DestinationUnavailable,
        UpstreamError::TimedOut => Error::HttpResponseTimeout,
        UpstreamError::Refused => Error::HttpRequestDenied,
    }
}

/// Holds a head that a component wrote to its limits.
pub(crate) fn within(headers: &HeaderMap, limits: &CallLimits) -> Result<(), String> {
    if headers.len() > limits.headers {
        return Err(format!("more than {} header fields", limits.headers));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > limits.header_bytes {
        return Err(format!("more than {} bytes of header fields", limits.header_bytes));
    }
    Ok(())
}

fn forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name) || name.as_str().starts_with(OWN_PREFIX)
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(forbidden)
    }

    /// Whoever sends the request says where it goes by its address.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let upstream = self.allowed(&request);
        let exchange = self.exchange(upstream, request);
        Box::new(async move {
            let io: Io = Box::new(std::future::ready(Ok(())));
            Ok((exchange.await?, io))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    // No error of ours is one of these: the caller's network reports in its own words.
    fn p2_error_from_connect(&mut self, _: &std::io::Error) -> ErrorCode2 {
        ErrorCode2::ConnectionRefused
    }

    fn p3_error_from_connect(&mut self, _: &std::io::Error) -> ErrorCode3 {
        ErrorCode3::ConnectionRefused
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn heads_are_bounded_in_number_and_in_bytes() {
        let limits = CallLimits { headers: 2, header_bytes: 10, ..CallLimits::default() };
        let mut headers = HeaderMap::new();
        headers.append("a", "1".parse().unwrap());
        headers.append("a", "2".parse().unwrap());
        assert_eq!(within(&headers, &limits), Ok(()));
        headers.append("a", "3".parse().unwrap());
        assert!(within(&headers, &limits).is_err());
        let mut long = HeaderMap::new();
        long.append("a", "0123456789".parse().unwrap());
        assert!(within(&long, &limits).is_err());
    }

    #[test]
    fn fields_of_the_connection_and_of_the_gateway_are_not_the_components() {
        for name in ["connection", "host", "transfer-encoding", "forebay-timeout-ms"] {
            assert!(forbidden(&name.parse().unwrap()), "{name}");
        }
        assert!(!forbidden(&"x-tenant".parse().unwrap()));
    }
}
