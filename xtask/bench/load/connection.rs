//! One client connection, or one more stream of it.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Ask, Protocol, Target};

pub(super) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>, String),
    Http2(http2::SendRequest<Full<Bytes>>, String),
}

impl Sender {
    pub(super) async fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let authority = format!("localhost:{}", target.address.port());
        let Some(tls) = &target.tls else {
            return Self::over(stream, target.protocol, authority).await;
        };
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await.context("TLS handshake")?;
        let agreed = stream.get_ref().1.alpn_protocol();
        if agreed != Some(target.protocol.alpn()) {
            bail!("the server does not speak {}", target.protocol.name());
        }
        Self::over(stream, target.protocol, authority).await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        protocol: Protocol,
        authority: String,
    ) -> Result<Self> {
        let stream = TokioIo::new(stream);
        match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Ok(Self::Http1(sender, authority))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Ok(Self::Http2(sender, authority))
            }
        }
    }

    /// One more sender on the same connection, where the protocol has such a thing.
    pub(super) fn another_stream(&self) -> Option<Self> {
        match self {
            Self::Http1(..) => None,
            Self::Http2(sender, authority) => Some(Self::Http2(sender.clone(), authority.clone())),
        }
    }

    /// Sends the n-th request and reads its answer to the end.
    pub(super) async fn send(&mut self, ask: &Ask, number: u64) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let response = match self {
            Self::Http1(sender, authority) => {
                let mut request = request(ask, number, &ask.path)?;
                request.headers_mut().insert(HOST, authority.parse()?);
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender, authority) => {
                let request = request(ask, number, &format!("https://{authority}{}", ask.path))?;
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        read(response).await
    }
}

fn request(ask: &Ask, number: u64, uri: &str) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(ask.method.clone()).uri(uri).body(Full::new((ask.body)(number)))?;
    *request.headers_mut() = ask.headers.clone();
    Ok(request)
}

async fn read(response: Response<Incoming>) -> Result<(StatusCode, HeaderMap, Bytes)> {
    let (head, body) = response.into_parts();
    Ok((head.status, head.headers, body.collect().await?.to_bytes()))
}
