//! One pooled HTTPS client: to a region, an origin or an issuer. hyper-util's pool does the connections.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use forebay_http::{Body, BodyError, collect_bounded};
use http::response::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::error::StartError;

/// Idle connections kept to one host.
const IDLE_PER_HOST: usize = 256;
/// How often the other end of an HTTP/2 connection must show that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// Silence after which the operating system probes a connection that is no longer HTTP.
const PROBE_AFTER: Duration = Duration::from_secs(60);
/// Time between two probes.
const PROBE: Duration = Duration::from_secs(10);
/// Probes without an answer after which it counts as broken.
const PROBES: u32 = 3;

/// A client.
#[derive(Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Body>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No connection could be made, or it broke before the head of an answer.
    #[error("{0}")]
    Exchange(String),
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// The answer is longer than the caller takes.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// Time ran out.
    #[error("no answer in time")]
    TimedOut,
}

impl Client {
    /// A client that believes the roots in the PEM file `trusted`, or the public web's, and shows `identity`
    /// (certificate and key files), if any.
    ///
    /// # Errors
    /// A PEM file cannot be used.
    pub(crate) fn new(
        trusted: Option<&Path>,
        identity: Option<(&Path, &Path)>,
        connect: Duration,
    ) -> Result<Self, StartError> {
        let tls = forebay_http::tls::client_config(trusted, identity)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Ok(Self::over(connector.enable_all_versions().wrap_connector(tcp(connect))))
    }

    /// A client that believes the public web's roots and speaks HTTP/1.1 alone, for connections that go on in another
    /// protocol. They may be silent for long, so the operating system asks whether the other end is there.
    ///
    /// # Errors
    /// As for `new`.
    pub(crate) fn http1(connect: Duration) -> Result<Self, StartError> {
        let tls = forebay_http::tls::client_config(None, None)?;
        let mut tcp = tcp(connect);
        tcp.set_keepalive(Some(PROBE_AFTER));
        tcp.set_keepalive_interval(Some(PROBE));
        tcp.set_keepalive_retries(Some(PROBES));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Ok(Self::over(connector.enable_http1().wrap_connector(tcp)))
    }

    fn over(connector: HttpsConnector<HttpConnector>) -> Self {
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .http2_keep_alive_while_idle(true)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connector);
        Self { inner }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, ClientError> {
        self.inner.request(request).await.map_err(|error| ClientError::Exchange(chain(&error)))
    }

    /// Sends a request and reads its whole answer, at most `max_bytes`, within `time`.
    ///
    /// # Errors
    /// There is no whole answer.
    pub(crate) async fn fetch(
        &self,
        request: Request<Bytes>,
        max_bytes: usize,
        time: Duration,
    ) -> Result<(Parts, Bytes), ClientError> {
        let deadline = Instant::now() + time;
        let request = request.map(Body::full);
        let response =
            tokio::time::timeout_at(deadline, self.send(request)).await.map_err(|_| ClientError::TimedOut)??;
        let (head, body) = response.into_parts();
        match collect_bounded(body, max_bytes, deadline).await {
            Ok(bytes) => Ok((head, bytes)),
            Err(BodyError::TooLarge { .. }) => Err(ClientError::TooLarge(max_bytes)),
            Err(BodyError::TimedOut) => Err(ClientError::TimedOut),
            Err(BodyError::Broken(cause)) => Err(ClientError::Broken(cause)),
        }
    }
}

fn tcp(connect: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(connect));
    tcp.set_nodelay(true);
    tcp
}

/// An error with its causes, since the outermost alone says little ("client error (Connect)").
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
