//! WebSockets: a client through the TLS front door, and an origin that remembers what it was told and how it ended.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};
use tokio_util::task::AbortOnDropHandle;

use crate::gateway::Gateway;

/// A message that does not come within this time never comes.
const LIMIT: Duration = Duration::from_secs(20);
/// Messages that `/flood` answers with, and their bytes.
pub const FLOOD: (usize, usize) = (512, 32 * 1024);
/// What `/long` answers with.
pub const LONG_BYTES: usize = 100_000;

/// A client's end of a WebSocket.
pub struct Socket(WebSocketStream<TlsStream<TcpStream>>);

/// How an end saw the other one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// With a closing handshake: code (1005 where none was given) and reason.
    Closed(u16, String),
    /// Without one.
    Broken,
}

impl Left {
    fn of(frame: Option<CloseFrame>) -> Self {
        let (code, reason) =
            frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.as_str().to_owned()));
        Self::Closed(code, reason)
    }
}

impl Socket {
    /// Opens one with these fields beside the usual ones.
    ///
    /// # Errors
    /// The status of an answer that is none.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn open(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> Result<(Self, HeaderMap), StatusCode> {
        Self::at(gateway.address(), gateway.ca(), path, fields).await
    }

    /// The same of a node elsewhere.
    ///
    /// # Errors
    /// As for `open`.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn at(
        address: SocketAddr,
        ca: &Path,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<(Self, HeaderMap), StatusCode> {
        let mut config = forebay_http::tls::client_config(Some(ca), None).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let mut request = format!("wss://localhost{path}").into_client_request().unwrap();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        match client_async_with_config(request, tls, Some(limits)).await {
            Ok((socket, response)) => Ok((Self(socket), response.headers().clone())),
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Sends a message.
    ///
    /// # Panics
    /// It cannot.
    pub async fn send(&mut self, message: impl Into<Message>) {
        self.0.send(message.into()).await.unwrap();
    }

    /// Sends what the other end may not want to take.
    pub async fn try_send(&mut self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// The next message, answers to pings among them, or how the other end left.
    ///
    /// # Errors
    /// There is no more.
    ///
    /// # Panics
    /// Neither comes.
    pub async fn next(&mut self) -> Result<Message, Left> {
        match timeout(LIMIT, self.0.next()).await.expect("neither a message nor an end") {
            Some(Ok(Message::Close(frame))) => {
                let _ = self.0.flush().await;
                Err(Left::of(frame))
            }
            Some(Ok(message)) => Ok(message),
            Some(Err(_)) | None => Err(Left::Broken),
        }
    }

    /// The next message, which must be a text.
    ///
    /// # Panics
    /// It is something else.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Ok(Message::Text(text)) => text.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// What is sent back for a text.
    pub async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        self.text().await
    }

    /// How the other end leaves, after no further message.
    ///
    /// # Panics
    /// There is one.
    pub async fn left(&mut self) -> Left {
        self.next().await.expect_err("an end")
    }

    /// Closes with a code and a reason, and waits for the answer.
    pub async fn close(mut self, code: u16, reason: &str) -> Left {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        self.send(Message::Close(Some(frame))).await;
        self.left().await
    }
}

/// An origin that takes WebSockets: what it does depends on the path. It echoes but for `/silent` (says nothing),
/// `/vanish` (is gone after a message), `/bye` (closes after a message, 4001 `done`), `/flood` (answers a message with
/// many long ones), `/long` (with one that is too long), `/deny` (no WebSocket, 403) and `/wrong` (answers with a field
/// that is wrong).
pub struct SocketOrigin {
    address: SocketAddr,
    seen: Arc<Seen>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    heads: Mutex<Vec<HeaderMap>>,
    messages: Mutex<Vec<String>>,
    ends: Mutex<Vec<Left>>,
}

impl SocketOrigin {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Seen>::default());
        let remembers = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            let mut sockets = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                remembers.connections.fetch_add(1, Ordering::SeqCst);
                sockets.spawn(serve(tcp, Arc::clone(&remembers)));
            }
        });
        Self { address, seen, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The heads of the openings so far.
    pub fn heads(&self) -> Vec<HeaderMap> {
        self.seen.heads.lock().clone()
    }

    /// Texts and binaries that it was told, the latter in hexadecimal.
    pub fn messages(&self) -> Vec<String> {
        self.seen.messages.lock().clone()
    }

    /// How the next end to do so saw its peer go.
    pub async fn next_end(&self) -> Left {
        crate::eventually("the origin sees an end", || async { !self.seen.ends.lock().is_empty() }).await;
        self.seen.ends.lock().remove(0)
    }

    /// Forgets what it was told.
    pub fn forget(&self) {
        self.seen.messages.lock().clear();
    }
}

#[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
async fn serve(tcp: TcpStream, seen: Arc<Seen>) {
    let mut path = String::new();
    let opening = |request: &Request, mut response: Response<()>| {
        request.uri().path().clone_into(&mut path);
        seen.heads.lock().push(request.headers().clone());
        if path.ends_with("/deny") {
            let mut refusal = ErrorResponse::new(Some("not you".to_owned()));
            *refusal.status_mut() = StatusCode::FORBIDDEN;
            return Err(refusal);
        }
        if path.ends_with("/wrong") {
            response.headers_mut().insert("sec-websocket-accept", HeaderValue::from_static("made up"));
        }
        for name in [SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS] {
            if let Some(value) = request.headers().get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    };
    let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let Ok(mut socket) = accept_hdr_async_with_config(tcp, opening, Some(limits)).await else {
        return;
    };
    let end = loop {
        let message = match socket.next().await {
            Some(Ok(Message::Close(frame))) => {
                let _ = socket.flush().await;
                break Left::of(frame);
            }
            Some(Ok(message)) => message,
            Some(Err(_)) | None => break Left::Broken,
        };
        seen.messages.lock().push(match &message {
            Message::Text(text) => text.as_str().to_owned(),
            Message::Binary(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => continue,
        });
        let answers = match path.rsplit('/').next().unwrap_or_default() {
            "silent" => Vec::new(),
            "vanish" => return,
            "bye" => vec![Message::Close(Some(CloseFrame { code: CloseCode::from(4001), reason: "done".into() }))],
            "flood" => (0..FLOOD.0).map(|turn| format!("{turn:0width$}", width = FLOOD.1).into()).collect(),
            "long" => vec!["x".repeat(LONG_BYTES).into()],
            _ => vec![message],
        };
        for answer in answers {
            let _ = socket.send(answer).await;
        }
    };
    seen.ends.lock().push(end);
}
