//! The way out for a function's own requests. Which origins it may ask was decided before; this connects.
//!
//! A name gives no address of this machine, as for plugins (`policy::services::outbound`). No redirect is followed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay_http::Body;
use forebay_wasi_http::{Exchange, Upstream, UpstreamError};
use http::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::error::StartError;
use crate::policy::services::outbound::resolver::Outward;
use crate::upstream::proxy::strip_hop_by_hop;

/// Time to open a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept to one host.
const IDLE_PER_HOST: usize = 16;

type Client = legacy::Client<HttpsConnector<HttpConnector<Outward>>, Body>;

/// A function's way out.
pub(super) struct FunctionOutbound(Client);

impl FunctionOutbound {
    /// `ca`: PEM roots of the origins; None: the public web's.
    ///
    /// # Errors
    /// The roots to trust cannot be read.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, StartError> {
        let tls = forebay_http::tls::client_config(ca, None)?;
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
            .build(connector);
        Ok(Self(client))
    }

    pub(super) fn into_upstream(self) -> Arc<dyn Upstream> {
        Arc::new(self)
    }
}

impl Upstream for FunctionOutbound {
    fn send(&self, mut request: Request<Body>) -> Exchange {
        if request.method() == Method::CONNECT || request.method() == Method::TRACE {
            return Box::pin(std::future::ready(Err(UpstreamError::Refused)));
        }
        strip_hop_by_hop(request.headers_mut());
        let exchange = self.0.request(request);
        Box::pin(async move {
            let mut response = exchange.await.map_err(|error| {
                tracing::debug!(%error, cause = std::error::Error::source(&error), "no answer to a function's request");
                UpstreamError::Unreachable
            })?;
            strip_hop_by_hop(response.headers_mut());
            Ok(response.map(Body::from))
        })
    }
}
