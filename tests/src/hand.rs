//! Both ends of an exchange in the hands of a test: an origin that it plays byte by byte over HTTP/1.1, and a client over
//! HTTP/2 whose bodies stream. For what is about when a part comes, and not only about what.

use std::sync::Arc;
use std::time::Duration;

use forebay_http::{Body, BodySender};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::gateway::Gateway;

/// What does not come within this time does not come.
const LIMIT: Duration = Duration::from_secs(20);

/// Ends a head.
pub const HEAD_END: &str = "\r\n\r\n";

/// An origin that waits for the test.
pub struct HandOrigin(TcpListener);

impl HandOrigin {
    /// Listens on a free port.
    pub async fn start() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).await.unwrap())
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The next connection.
    pub async fn meets(&self) -> Talk {
        let (stream, _) = timeout(LIMIT, self.0.accept()).await.expect("somebody connects").unwrap();
        stream.set_nodelay(true).unwrap();
        Talk { stream, heard: String::new() }
    }

    /// From now on every request without a body is answered with these bytes, and its connection closed.
    pub fn answers(self, answer: &'static str) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let mut talk = self.meets().await;
                tokio::spawn(async move {
                    talk.until(HEAD_END).await;
                    talk.says(answer).await;
                });
            }
        })
    }
}

/// One connection of such an origin.
pub struct Talk {
    stream: TcpStream,
    heard: String,
}

impl Talk {
    /// All that was heard, once `end` is in it.
    ///
    /// # Panics
    /// It does not come.
    pub async fn until(&mut self, end: &str) -> &str {
        let mut part = [0; 4096];
        while !self.heard.contains(end) {
            let read = timeout(LIMIT, self.stream.read(&mut part)).await;
            let count = read.unwrap_or_else(|_| panic!("no `{end}` after: {}", self.heard)).unwrap_or_default();
            assert!(count > 0, "closed without `{end}` after: {}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&part[..count]));
        }
        &self.heard
    }

    /// Sends bytes at once.
    pub async fn says(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends bytes at once, if the other side still takes them.
    pub async fn tries(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Sends one chunk of a body.
    pub async fn chunk(&mut self, text: &str) {
        self.says(&format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    /// All that was heard until the other side closed.
    ///
    /// # Panics
    /// It does not close.
    pub async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        let read = timeout(LIMIT, self.stream.read_to_end(&mut bytes)).await;
        assert!(read.is_ok(), "neither closed nor ended: {}", self.heard);
        self.heard + &String::from_utf8_lossy(&bytes)
    }
}

/// A client over HTTP/2 on one connection, whose bodies stream.
#[derive(Clone)]
pub struct Streaming(SendRequest<Body>);

impl Streaming {
    /// Connects to a gateway.
    pub async fn to(gateway: &Gateway) -> Self {
        let mut config = forebay_http::tls::client_config(Some(gateway.ca()), None).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Begins a POST. The response may come before the body ends.
    pub fn post(&self, path: &str, token: &str, fields: &[(&str, &str)]) -> (BodySender, JoinHandle<Coming>) {
        let (sender, body) = Body::channel(1);
        (sender, self.send(Method::POST, path, token, fields, body))
    }

    /// A GET, whose response streams.
    pub async fn get(&self, path: &str, token: &str) -> Coming {
        self.send(Method::GET, path, token, &[], Body::empty()).await.unwrap()
    }

    fn send(&self, method: Method, path: &str, token: &str, fields: &[(&str, &str)], body: Body) -> JoinHandle<Coming> {
        let request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut sender = self.0.clone();
        let request = request.body(body).unwrap();
        tokio::spawn(
            async move { Coming(timeout(LIMIT, sender.send_request(request)).await.expect("a head").unwrap()) },
        )
    }
}

/// A response that comes.
pub struct Coming(Response<Incoming>);

impl Coming {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// A field's text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.0.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Its next bytes; none at a clean end.
    ///
    /// # Errors
    /// It was cut.
    pub async fn next(&mut self) -> Result<Option<String>, String> {
        match timeout(LIMIT, self.0.body_mut().frame()).await.expect("the body goes on or ends") {
            None => Ok(None),
            Some(Ok(frame)) => Ok(frame.into_data().ok().map(|data| String::from_utf8_lossy(&data).into_owned())),
            Some(Err(error)) => Err(error.to_string()),
        }
    }

    /// All bytes that come, and the trailers behind them.
    ///
    /// # Errors
    /// It was cut, behind these bytes.
    pub async fn rest(mut self) -> Result<(String, HeaderMap), String> {
        let (mut text, mut trailers) = (String::new(), HeaderMap::new());
        while let Some(frame) = timeout(LIMIT, self.0.body_mut().frame()).await.expect("the body goes on or ends") {
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) => text.push_str(&String::from_utf8_lossy(&data)),
                Ok(Err(frame)) => trailers = frame.into_trailers().unwrap(),
                Err(_) => return Err(text),
            }
        }
        Ok((text, trailers))
    }
}
