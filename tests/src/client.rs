//! A client of a node, over TLS with ALPN or in the clear.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

use crate::answer::Answer;

/// A pooled client of one node.
#[derive(Clone)]
pub struct Client {
    base: String,
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// One request in the making.
pub struct Ask {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// A client that speaks HTTP/2 over TLS.
    pub fn http2(address: SocketAddr, ca: &Path) -> Self {
        Self::tls(address, ca, true, None)
    }

    /// A client that speaks HTTP/1.1 over TLS.
    pub fn http1(address: SocketAddr, ca: &Path) -> Self {
        Self::tls(address, ca, false, None)
    }

    /// A client that speaks HTTP/2 over TLS and shows itself with a certificate, if the server asks for one.
    pub fn http2_as(address: SocketAddr, ca: &Path, certificate: &Path, key: &Path) -> Self {
        Self::tls(address, ca, true, Some((certificate, key)))
    }

    /// A client that speaks HTTP/1.1 in the clear.
    pub fn plain(address: SocketAddr) -> Self {
        let tls = forebay_http::tls::client_config(None, None).unwrap();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Self::new(format!("http://127.0.0.1:{}", address.port()), connector)
    }

    fn tls(address: SocketAddr, ca: &Path, http2: bool, identity: Option<(&Path, &Path)>) -> Self {
        let tls = forebay_http::tls::client_config(Some(ca), identity).unwrap();
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
        let connector = if http2 { builder.enable_http2().build() } else { builder.enable_http1().build() };
        Self::new(format!("https://localhost:{}", address.port()), connector)
    }

    fn new(base: String, connector: HttpsConnector<HttpConnector>) -> Self {
        let inner = legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Self { base, inner }
    }

    /// A request with any method.
    pub fn ask(&self, method: Method, path: &str) -> Ask {
        Ask { client: self.clone(), method, path: path.to_owned(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A GET.
    pub fn get(&self, path: &str) -> Ask {
        self.ask(Method::GET, path)
    }

    /// A POST.
    pub fn post(&self, path: &str) -> Ask {
        self.ask(Method::POST, path)
    }

    /// A POST of an inference to the route below `prefix`.
    pub fn infer(&self, prefix: &str, model: &str, question: &Value) -> Ask {
        self.post(&format!("{prefix}/v2/models/{model}/infer")).json(question)
    }
}

impl Ask {
    /// With this token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// With this token and a proof that it is the client's.
    #[must_use]
    pub fn proved(self, token: &str, proof: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("DPoP {token}")).header("dpop", proof)
    }

    /// With this field, beside others of its name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// Sends it and brings back the whole answer.
    ///
    /// # Panics
    /// There is none.
    pub async fn send(self) -> Answer {
        let line = format!("{} {}", self.method, self.path);
        self.try_send().await.unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Sends it and brings back the whole answer.
    ///
    /// # Errors
    /// There is none, or only a part of it.
    pub async fn try_send(self) -> Result<Answer, String> {
        let uri = format!("{}{}", self.client.base, self.path);
        let mut request = Request::builder().method(self.method).uri(uri).body(Full::new(self.body)).unwrap();
        *request.headers_mut() = self.headers;
        let response = self.client.inner.request(request).await.map_err(|error| format!("{error:?}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), version: head.version, headers: head.headers, body })
    }
}
