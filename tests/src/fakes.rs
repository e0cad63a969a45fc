//! Counterparts that no real part can be, named by how they misbehave, and an origin that remembers what it saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay_http::{Body, ConnectionInfo, Handler, Limits, Listener, TlsHandle, collect_bounded, tls};
use http::{HeaderMap, Request, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::place::Place;

/// What a region answers that has nothing wrong with it.
pub const GOOD_ANSWER: &str = r#"{"model_name":"matmul","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[7.5,10.5]}]}"#;

/// What it says that its model is.
const DIGEST: &str = "00";
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// How a [`FakeRegion`] treats an inference. All of them answer probes.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// It never answers.
    Hangs,
    /// It answers well, but not before it is released.
    Waits,
    /// It answers with this status and body, as JSON.
    Answers(u16, String),
    /// It promises more than it sends, then breaks off.
    BreaksOff,
}

/// A region that misbehaves. It says that it has the model `matmul`.
pub struct FakeRegion {
    server: Server,
    asked: Arc<AtomicUsize>,
    release: watch::Sender<bool>,
}

impl FakeRegion {
    /// Starts one that says of itself that it stands in `jurisdiction`.
    pub async fn start(jurisdiction: &str, behaviour: Behaviour) -> Self {
        let node = json!({
            "name": "fake", "jurisdiction": jurisdiction, "ready": true, "draining": false,
            "models": [{"name": "matmul", "version": "1", "digest": DIGEST, "ready": true}],
        });
        Self::saying(&node, behaviour).await
    }

    /// Starts one that answers probes with `node`.
    pub async fn saying(node: &Value, behaviour: Behaviour) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let (release, released) = watch::channel(false);
        let handler = Misbehaving { node: node.to_string(), behaviour, asked: Arc::clone(&asked), released };
        Self { server: Server::plain(handler).await, asked, release }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Lets those that wait have their answer.
    pub fn release(&self) {
        self.release.send_replace(true);
    }

    /// How many inferences reached it.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

struct Misbehaving {
    node: String,
    behaviour: Behaviour,
    asked: Arc<AtomicUsize>,
    released: watch::Receiver<bool>,
}

impl Handler for Misbehaving {
    async fn handle(&self, _: &Arc<ConnectionInfo>, request: Request<Body>) -> Response<Body> {
        if !request.uri().path().ends_with("/infer") {
            return Response::new(Body::full(self.node.clone()));
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        match &self.behaviour {
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::Waits => {
                let _ = self.released.clone().wait_for(|released| *released).await;
                json_answer(200, GOOD_ANSWER)
            }
            Behaviour::Answers(status, body) => json_answer(*status, body),
            Behaviour::BreaksOff => {
                let (sender, body) = Body::channel(1);
                tokio::spawn(async move {
                    let _ = sender.send("{\"model_name\":").await;
                });
                Response::new(body)
            }
        }
    }
}

fn json_answer(status: u16, body: &str) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.header("forebay-model-digest", DIGEST).body(Body::full(body.to_owned())).unwrap()
}

/// What an [`Origin`] saw of one request.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method and target.
    pub line: String,
    /// Fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// An HTTP origin that echoes JSON bodies and remembers every request.
pub struct Origin {
    server: Server,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    /// Starts one.
    pub async fn start() -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        Self { server: Server::plain(Echo { seen: Arc::clone(&seen) }).await, seen }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

struct Echo {
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Handler for Echo {
    async fn handle(&self, _: &Arc<ConnectionInfo>, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let Ok(body) = collect_bounded(body, BODY_MAX_BYTES, deadline).await else {
            return Response::builder().status(400).body(Body::empty()).unwrap();
        };
        let line = format!("{} {}", head.method, head.uri);
        self.seen.lock().push(Seen { line, headers: head.headers, body: body.clone() });
        Response::builder().header("content-type", "application/json").body(Body::full(body)).unwrap()
    }
}

/// An issuer's JWKS behind HTTPS; its keys can be rotated, and it can fail.
pub struct JwksServer {
    server: Server,
    document: Arc<Mutex<Option<String>>>,
    fetched: Arc<AtomicUsize>,
}

impl JwksServer {
    /// Starts one with a certificate from the place's CA.
    pub async fn start(place: &Place, document: String) -> Self {
        let document = Arc::new(Mutex::new(Some(document)));
        let fetched = Arc::new(AtomicUsize::new(0));
        let handler = Jwks { document: Arc::clone(&document), fetched: Arc::clone(&fetched) };
        let files = place.authority().files();
        let tls = TlsHandle::new(tls::server_config(&files.certificate, &files.key, None).unwrap());
        Self { server: Server::start(handler, Some(tls)).await, document, fetched }
    }

    /// The document's address.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/jwks.json", self.server.address.port())
    }

    /// Publishes other keys.
    pub fn rotate(&self, document: String) {
        *self.document.lock() = Some(document);
    }

    /// Publishes nothing: answers are 500 until the next rotation.
    pub fn fail(&self) {
        *self.document.lock() = None;
    }

    /// How often the document was fetched.
    pub fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}

struct Jwks {
    document: Arc<Mutex<Option<String>>>,
    fetched: Arc<AtomicUsize>,
}

impl Handler for Jwks {
    async fn handle(&self, _: &Arc<ConnectionInfo>, _: Request<Body>) -> Response<Body> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        match self.document.lock().clone() {
            Some(document) => Response::new(Body::full(document)),
            None => Response::builder().status(500).body(Body::empty()).unwrap(),
        }
    }
}

/// A listener on a free port that ends with this.
struct Server {
    address: SocketAddr,
    _end: tokio_util::sync::DropGuard,
}

impl Server {
    async fn plain(handler: impl Handler) -> Self {
        Self::start(handler, None).await
    }

    async fn start(handler: impl Handler, tls: Option<TlsHandle>) -> Self {
        let limits = Limits { drain: Duration::ZERO, ..Limits::default() };
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), tls, limits).await.unwrap();
        let (address, end) = (listener.local_addr(), CancellationToken::new());
        tokio::spawn(listener.serve(Arc::new(handler), end.clone()));
        Self { address, _end: end.drop_guard() }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
