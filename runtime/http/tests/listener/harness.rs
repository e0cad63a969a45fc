//! A listener on a free port with a handler whose paths are named by what they do, and clients for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forebay_http::{
    Body, ConnectionInfo, DevCa, Drained, Finish, Handler, Limits, Listener, ListenerCounts, ListenerStats, TlsHandle,
    Upgrade, Upgraded, collect_bounded, tls,
};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

pub(crate) struct Paths {
    released: watch::Receiver<bool>,
    finished: mpsc::Sender<Finish>,
}

impl Handler for Paths {
    async fn handle(&self, connection: &Arc<ConnectionInfo>, mut request: Request<Body>) -> Response<Body> {
        let finished = self.finished.clone();
        let tell = move |finish| finished.try_send(finish).unwrap_or(());
        let body = match request.uri().path() {
            "/version" => Body::full(format!("{:?}", request.version())),
            "/tls" => Body::full(tls_line(connection)),
            "/client" => {
                let client = connection.tls.as_ref().unwrap().client.as_ref().unwrap();
                Body::full(format!("{} {}", client.subject, client.x5t_s256()))
            }
            "/wait" => {
                self.released.clone().wait_for(|released| *released).await.unwrap();
                Body::full("released")
            }
            "/echo" => {
                let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
                match collect_bounded(request.into_body(), 1000, deadline).await {
                    Ok(bytes) => Body::full(bytes),
                    Err(error) => return error.request_problem().into_response(),
                }
            }
            "/hooked" => Body::full("hooked").on_finish(tell),
            "/endless" => endless().on_finish(tell),
            "/dies" => {
                let (sender, body) = Body::channel(1);
                let mut released = self.released.clone();
                tokio::spawn(async move {
                    sender.send("half").await.unwrap();
                    released.wait_for(|released| *released).await.unwrap();
                });
                body
            }
            "/event" => {
                let (sender, body) = Body::channel(1);
                let mut released = self.released.clone();
                tokio::spawn(async move {
                    sender.send("first ").await.unwrap();
                    released.wait_for(|released| *released).await.unwrap();
                    sender.send("last").await.unwrap();
                    sender.finish();
                });
                body
            }
            path @ ("/switch" | "/stay") => {
                let stays = path == "/stay";
                match Upgrade::take(request.extensions_mut()) {
                    None => Body::full("cannot switch"),
                    Some(upgrade) => return switch(upgrade, stays),
                }
            }
            "/panic" => panic!("asked for"),
            _ => Body::empty(),
        };
        Response::new(body)
    }
}

/// Goes on with an echo, until the node shuts down or, if it `stays`, for ever.
fn switch(upgrade: Upgrade, stays: bool) -> Response<Body> {
    upgrade.then(move |io: Upgraded, shutdown| async move {
        let (mut from, mut to) = tokio::io::split(io);
        let left = tokio::select! {
            _ = tokio::io::copy(&mut from, &mut to) => false,
            () = shutdown.cancelled(), if !stays => true,
        };
        if left {
            to.write_all(b"bye").await.unwrap();
            to.shutdown().await.unwrap();
        }
    });
    let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
    response.body(Body::empty()).unwrap()
}

fn tls_line(connection: &ConnectionInfo) -> String {
    let tls = connection.tls.as_ref().unwrap();
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let (group, alpn) = (or_dash(tls.group), or_dash(tls.alpn.as_deref()));
    format!("{} {group} {alpn} {}", tls.version, or_dash(tls.sni.as_deref()))
}

fn endless() -> Body {
    let (sender, body) = Body::channel(1);
    tokio::spawn(async move { while sender.send(vec![b'x'; 64 * 1024]).await.is_ok() {} });
    body
}

pub(crate) struct Node {
    address: SocketAddr,
    stats: Arc<ListenerStats>,
    shutdown: CancellationToken,
    serving: JoinHandle<Drained>,
    release: watch::Sender<bool>,
    finished: mpsc::Receiver<Finish>,
    ca: Option<(DevCa, TlsHandle, TempDir)>,
}

impl Node {
    pub(crate) async fn plain(limits: Limits) -> Self {
        Self::start(limits, None).await
    }

    pub(crate) async fn tls(limits: Limits) -> Self {
        Self::start(limits, Some(false)).await
    }

    pub(crate) async fn mutual_tls(limits: Limits) -> Self {
        Self::start(limits, Some(true)).await
    }

    async fn start(limits: Limits, mutual: Option<bool>) -> Self {
        let ca = mutual.map(|mutual| {
            let folder = tempfile::tempdir().unwrap();
            let ca = DevCa::ensure(folder.path()).unwrap();
            let files = ca.files();
            let clients = mutual.then_some(files.ca.as_path());
            let handle = TlsHandle::new(tls::server_config(&files.certificate, &files.key, clients).unwrap());
            (ca, handle, folder)
        });
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let handle = ca.as_ref().map(|(_, handle, _)| handle.clone());
        let listener = Listener::bind(any_port, handle, limits).await.unwrap();
        let (address, stats, shutdown) = (listener.local_addr(), listener.stats(), CancellationToken::new());
        let (release, released) = watch::channel(false);
        let (tell, finished) = mpsc::channel(16);
        let handler = Arc::new(Paths { released, finished: tell });
        let serving = tokio::spawn(listener.serve(handler, shutdown.clone()));
        Self { address, stats, shutdown, serving, release, finished, ca }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn counts(&self) -> ListenerCounts {
        self.stats.counts()
    }

    /// Waits for counters that change without anything that could be awaited.
    pub(crate) async fn until(&self, condition: impl Fn(ListenerCounts) -> bool) {
        let reached = async {
            while !condition(self.counts()) {
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(10), reached).await;
        assert!(reached.is_ok(), "{:?}", self.counts());
    }

    pub(crate) fn release(&self) {
        self.release.send(true).unwrap();
    }

    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn served(&mut self) -> Drained {
        (&mut self.serving).await.unwrap()
    }

    pub(crate) async fn finished(&mut self) -> Finish {
        self.finished.recv().await.unwrap()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads whatever comes until the server closes.
    pub(crate) async fn exchange(&self, request: &[u8]) -> String {
        exchange(self.connect().await, request).await
    }

    pub(crate) async fn h2(&self) -> H2Client {
        H2Client::over(self.connect().await).await
    }

    pub(crate) async fn tls_exchange(&self, alpn: &[&str], request: &[u8]) -> String {
        exchange(self.tls_stream(alpn, None).await.unwrap(), request).await
    }

    pub(crate) async fn tls_h2(&self) -> H2Client {
        H2Client::over(self.tls_stream(&["h2"], None).await.unwrap()).await
    }

    pub(crate) async fn tls_h2_as(&self, name: &str) -> H2Client {
        H2Client::over(self.tls_stream(&["h2"], Some(name)).await.unwrap()).await
    }

    pub(crate) async fn expect_refusal_without_certificate(&self) {
        // With TLS 1.3 a client learns of the refusal when it reads.
        if let Ok(mut stream) = self.tls_stream(&["http/1.1"], None).await {
            let _ = stream.write_all(&h1_get("/")).await;
            let read = stream.read(&mut [0; 1]).await;
            assert!(read.is_err(), "{read:?}");
        }
        self.until(|counts| counts.handshakes_failed == 1).await;
    }

    pub(crate) async fn presented_certificate(&self) -> CertificateDer<'static> {
        let stream = self.tls_stream(&["h2"], None).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    pub(crate) fn replace_certificate(&self) {
        let (ca, handle, _) = self.ca.as_ref().unwrap();
        let (certificate, key) = self.write_pair("replaced", ca.issue(&["localhost"]).unwrap());
        handle.replace(tls::server_config(&certificate, &key, None).unwrap());
    }

    fn write_pair(&self, name: &str, (certificate, key): (String, String)) -> (PathBuf, PathBuf) {
        let (_, _, folder) = self.ca.as_ref().unwrap();
        let paths = (folder.path().join(format!("{name}.pem")), folder.path().join(format!("{name}.key")));
        std::fs::write(&paths.0, certificate).unwrap();
        std::fs::write(&paths.1, key).unwrap();
        paths
    }

    async fn tls_stream(&self, alpn: &[&str], client: Option<&str>) -> std::io::Result<TlsStream<TcpStream>> {
        let (ca, _, _) = self.ca.as_ref().unwrap();
        let pair = client.map(|name| self.write_pair(name, ca.issue_client(name).unwrap()));
        let identity = pair.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let mut config = tls::client_config(Some(&ca.files().ca), identity).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await
    }
}

pub(crate) fn header_section(start_line: &str, fields: &str) -> Vec<u8> {
    format!("{start_line}\r\n{fields}\r\n").into_bytes()
}

pub(crate) fn h1_get(path: &str) -> Vec<u8> {
    header_section(&format!("GET {path} HTTP/1.1"), "host: localhost\r\nconnection: close\r\n")
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &[u8]) -> String {
    // A server that refuses early may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) struct H2Client {
    sender: SendRequest<String>,
    connection: JoinHandle<()>,
}

impl H2Client {
    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Self {
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move { connection.await.unwrap_or(()) });
        Self { sender, connection }
    }

    pub(crate) async fn try_send(&mut self, request: Request<String>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    pub(crate) async fn send(&mut self, request: Request<String>) -> Response<Incoming> {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.send(Request::get(format!("http://localhost{path}")).body(String::new()).unwrap()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Response<Incoming> {
        self.send(Request::post(format!("http://localhost{path}")).body(body.to_owned()).unwrap()).await
    }

    /// Sends a request and hands out its answer to be awaited later.
    pub(crate) async fn start(&mut self, path: &str) -> Pending {
        self.sender.ready().await.unwrap();
        let request = Request::get(format!("http://localhost{path}")).body(String::new()).unwrap();
        Pending(tokio::spawn(self.sender.send_request(request)))
    }

    /// Waits until the connection is closed, by whichever side.
    pub(crate) async fn closed(self) {
        // The sender is kept: dropping it would close the connection from this side.
        self.connection.await.unwrap();
        drop(self.sender);
    }
}

pub(crate) struct Pending(JoinHandle<hyper::Result<Response<Incoming>>>);

impl Future for Pending {
    type Output = hyper::Result<Response<Incoming>>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(Result::unwrap)
    }
}
