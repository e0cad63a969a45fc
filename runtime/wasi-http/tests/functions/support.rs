//! Components, requests to them, and upstreams that behave in one way each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use forebay_http::{Body, BodyError};
use forebay_wasi_http::{
    Call, CallLimits, Engine, EngineLimits, Exchange, Failure, Function, FunctionSpec, Grant, LoadError, Upstream,
    UpstreamError,
};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

/// Compiling takes long enough that the tests share one engine and its functions where they can.
pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(&EngineLimits::default()).unwrap());
pub(crate) static SERVICE: LazyLock<Function> = LazyLock::new(|| load("wasi-service", |_| {}).unwrap());
pub(crate) static INCOMING: LazyLock<Function> = LazyLock::new(|| load("wasi-incoming", |_| {}).unwrap());
pub(crate) static MIDDLEWARE: LazyLock<Function> = LazyLock::new(|| load("wasi-middleware", |_| {}).unwrap());

/// Long enough for a busy machine; no test waits for it unless it fails.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn wasm(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/assets/plugins").join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask assets`", file.display()))
}

/// What a component is loaded with where a test does not say otherwise.
pub(crate) fn spec(name: &str) -> FunctionSpec {
    FunctionSpec {
        name: name.to_owned(),
        wasm: wasm(name),
        grants: BTreeSet::from(Grant::ALL),
        origins: Vec::new(),
        outbound: None,
        env: BTreeMap::new(),
        // More time than by default: what is tested is seldom the time, and the machine may be busy.
        limits: CallLimits {
            deadline: Duration::from_secs(1),
            body_bytes: 256 * 1024,
            instances: Some(64),
            ..CallLimits::default()
        },
        on_cut: None,
    }
}

pub(crate) fn load(name: &str, change: impl FnOnce(&mut FunctionSpec)) -> Result<Function, LoadError> {
    let mut spec = spec(name);
    change(&mut spec);
    ENGINE.load(spec)
}

/// A response, and how its body ended.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<String, BodyError>,
}

impl Got {
    #[track_caller]
    pub(crate) fn whole(self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.body.unwrap()
    }
}

pub(crate) fn request(behaviour: &str) -> Request<Body> {
    let request = Request::post("https://edge.test/a/path?q=1").header("x-behaviour", behaviour);
    request.header("x-middleware", behaviour).body(Body::empty()).unwrap()
}

pub(crate) async fn call(function: &Function, request: Request<Body>) -> Result<Got, Failure> {
    call_before(function, request, None).await
}

pub(crate) async fn call_before(
    function: &Function,
    request: Request<Body>,
    next: Option<Arc<dyn Upstream>>,
) -> Result<Got, Failure> {
    let response = function.call(Call { request, deadline: Instant::now() + LONG, next }).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(|whole| String::from_utf8(whole.to_bytes().to_vec()).unwrap());
    Ok(Got { status: head.status.as_u16(), headers: head.headers, body })
}

pub(crate) async fn ask(function: &Function, behaviour: &str) -> Result<Got, Failure> {
    call(function, request(behaviour)).await
}

/// Repeats the body that it gets, and remembers the request: its head, and its body or why that broke.
#[derive(Clone, Default)]
pub(crate) struct Repeats(Arc<Mutex<Vec<Seen>>>);

pub(crate) struct Seen {
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Vec<u8>, BodyError>,
}

impl Repeats {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Upstream for Repeats {
    fn send(&self, request: Request<Body>) -> Exchange {
        let seen = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|whole| whole.to_bytes().to_vec());
            let answer = body.clone();
            seen.lock().push(Seen { uri: head.uri.to_string(), headers: head.headers, body });
            let answer = answer.map_err(|_| UpstreamError::Unreachable)?;
            Ok(Response::builder().header("x-upstream", "repeats").body(Body::full(answer)).unwrap())
        })
    }
}

/// Answers nothing.
pub(crate) struct Refuses;

impl Upstream for Refuses {
    fn send(&self, _: Request<Body>) -> Exchange {
        Box::pin(std::future::ready(Err(UpstreamError::Unreachable)))
    }
}

/// Answers with a head and a body whose source dies.
pub(crate) struct BreaksOff;

impl Upstream for BreaksOff {
    fn send(&self, _: Request<Body>) -> Exchange {
        Box::pin(async {
            let (sender, body) = Body::channel(2);
            let _ = sender.send("begun\n").await;
            Ok(Response::new(body))
        })
    }
}

/// Reads the head at once and the body for as long as it comes; tells how that ended.
pub(crate) struct Listens(pub(crate) Mutex<Option<tokio::sync::oneshot::Sender<Result<usize, BodyError>>>>);

impl Upstream for Listens {
    fn send(&self, request: Request<Body>) -> Exchange {
        let ended = self.0.lock().take();
        // On a task of its own, as a connection would be: it outlives whoever asked.
        tokio::spawn(async move {
            let read = request.into_body().collect().await.map(|whole| whole.to_bytes().len());
            ended.map(|ended| ended.send(read))
        });
        Box::pin(std::future::pending())
    }
}
