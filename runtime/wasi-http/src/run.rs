//! The life of one instance, on a task of its own: it starts, is asked once, sends its response, and is gone.
//!
//! The guest and the way of its response out are two futures side by side. The guest may hold its store for as long
//! as it likes (to wait in a synchronous call, to compute), so what must go on meanwhile goes on beside it: the body,
//! a client that leaves, the end of the instance's lifetime.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use forebay_http::Body;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme as Scheme2;
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::p3::Request as Request3;
use wasmtime_wasi_http::p3::bindings::{Service, ServicePre};
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _};

use crate::answer::{Answer, Head};
use crate::computing::Computing;
use crate::error::Failure;
use crate::function::{Call, Inner};
use crate::guarded::{Alive, Running, told};
use crate::hooks::Hooks;
use crate::outside::Outside;
use crate::quarantine::Entered;
use crate::state::{self, State};
use crate::stdio::Stdio;
use crate::upstream::Upstream;

/// A component that is ready to be started, by the version of the standard that it was written for.
pub(crate) enum Pre {
    P2(ProxyPre<State>),
    P3(ServicePre<State>),
}

enum Handler {
    P2(Proxy),
    P3(Service),
}

/// A started instance.
pub(crate) struct Instance {
    handler: Handler,
    store: Store<State>,
    computing: Computing,
}

impl Instance {
    /// Starts one, with `next` behind its handler import.
    pub(crate) async fn start(function: &Inner, next: Option<Arc<dyn Upstream>>) -> Result<Self, Failure> {
        let stdio = Stdio::new(Arc::clone(&function.name), function.world.limits.log_lines);
        Self::start_with(function, next, &stdio, Outside::default()).await
    }

    async fn start_with(
        function: &Inner,
        next: Option<Arc<dyn Upstream>>,
        stdio: &Stdio,
        outside: Outside,
    ) -> Result<Self, Failure> {
        let limits = &function.world.limits;
        let hooks = Hooks {
            next,
            outbound: function.outbound.clone(),
            origins: Arc::clone(&function.origins),
            limits: Arc::clone(limits),
            alive: Alive::new(),
            calls: 0,
            outside,
        };
        let state = State::new(&function.world.environment, stdio, hooks, limits);
        let computing = Computing::new(limits.deadline);
        let mut store = state::store(&function.shared.engine, state, computing.clone());
        let started = async {
            match &function.pre {
                Pre::P2(pre) => pre.instantiate_async(&mut store).await.map(Handler::P2),
                Pre::P3(pre) => pre.instantiate_async(&mut store).await.map(Handler::P3),
            }
            .map_err(|error| Failure::of(&error))
        };
        let handler = computing.of(started).await?;
        Ok(Self { handler, store, computing })
    }

    /// Has the guest handle a request. Its response is sent to `response`; ends when the guest has no work left.
    async fn handle(
        &mut self,
        request: Request<WasiBody>,
        response: oneshot::Sender<Result<Response<WasiBody>, Failure>>,
        delivered: oneshot::Receiver<()>,
    ) -> Result<(), Failure> {
        let Self { handler, store, computing } = self;
        let handled = async {
            match handler {
                Handler::P2(proxy) => handle2(store, proxy, request, response).await,
                Handler::P3(service) => handle3(store, service, request, response, delivered).await,
            }
            .map_err(|error| Failure::of(&error))
        };
        computing.of(handled).await
    }
}

type Answered = oneshot::Sender<Result<Response<WasiBody>, Failure>>;

async fn handle2(
    store: &mut Store<State>,
    proxy: &Proxy,
    request: Request<WasiBody>,
    response: Answered,
) -> wasmtime::Result<()> {
    // Kept here too: a guest that returns without an answer may leave the way to it in its table.
    let slot = Arc::new(Mutex::new(Some(response)));
    let set = Arc::clone(&slot);
    let request = store.data_mut().http().new_incoming_request(Scheme2::Https, request)?;
    let out = store.data_mut().http().new_response_outparam_from_callback(move |answered| {
        if let Some(response) = set.lock().take() {
            // Without a receiver nobody waits for it any more.
            let _ = response.send(answered.map_err(|code| Failure::Refused(format!("{code:?}"))));
        }
    })?;
    let returned = proxy.wasi_http_incoming_handler().call_handle(store, request, out).await;
    drop(slot.lock().take());
    returned
}

async fn handle3(
    store: &mut Store<State>,
    service: &Service,
    request: Request<WasiBody>,
    response: Answered,
    delivered: oneshot::Receiver<()>,
) -> wasmtime::Result<()> {
    let (request, sent) = Request3::from_http(store.data_mut().http().hooks, request);
    store
        .run_concurrent(async move |accessor| {
            let answered = match service.handle(accessor, request).await? {
                Ok(answered) => Ok(accessor.with(|mut access| answered.into_http(&mut access, sent))?),
                Err(code) => Err(Failure::Refused(format!("{code:?}"))),
            };
            // Without a receiver nobody waits for it any more.
            let _ = response.send(answered);
            // The guest's streams move for as long as this runs. That nobody delivers any more ends it too.
            let _ = delivered.await;
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}

/// Runs an instance for one request. A failure before the head goes to whoever waits for it; after that it breaks the
/// body off, and is logged.
pub(crate) async fn run(function: Arc<Inner>, call: Call, head: Head, held: (OwnedSemaphorePermit, Entered)) {
    let ((place, entered), outside, deadline) = (held, Outside::default(), call.deadline);
    let stdio = Stdio::new(Arc::clone(&function.name), function.world.limits.log_lines);
    let head = Mutex::new(Some(head));
    let lifetime = function.world.limits.lifetime;
    let ended = match timeout(lifetime, live(&function, call, &head, &stdio, &outside)).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::Lifetime),
    };
    let head = head.into_inner();
    // Whoever waited for the head left at the deadline.
    let late = matches!(ended, Err(Failure::Abandoned)) && head.is_some() && Instant::now() >= deadline;
    let ended = if late { Err(Failure::NoAnswer) } else { ended };
    if entered.ended(&ended, outside.has_no_part(), head.is_none()) {
        tracing::warn!(target: "forebay::function", function = &*function.name, "in quarantine after repeated failures");
    }
    drop(place);
    stdio.end();
    let Err(failure) = ended else { return };
    match head {
        // Without a receiver nobody waits for it any more.
        Some(head) => drop(head.send(Err(failure))),
        None if failure == Failure::Abandoned => {}
        None => {
            let (name, reason) = (&*function.name, failure.reason());
            tracing::warn!(target: "forebay::function", function = name, reason, "cut after its head: {failure}");
            if let Some(on_cut) = &function.on_cut {
                on_cut(&failure);
            }
        }
    }
}

async fn live(
    function: &Inner,
    call: Call,
    head: &Mutex<Option<Head>>,
    stdio: &Stdio,
    outside: &Outside,
) -> Result<(), Failure> {
    let limits = &function.world.limits;
    let request = call.request.map(|body| outside.watch(body));
    let mut instance = Instance::start_with(function, call.next, stdio, outside.clone()).await?;
    let (response, coming) = oneshot::channel();
    let (delivering, delivered) = oneshot::channel();
    let request = incoming(request, limits.body_bytes, limits.idle);
    let ended = AtomicBool::new(false);
    let running = instance.store.data().hooks.alive.running();
    let guest = instance.handle(request, response, delivered);
    let answer = async {
        let response = coming.await.map_err(|_| Failure::Unfinished("it gave no answer".to_owned()))??;
        let Some(taken) = head.lock().take() else { return Ok(()) };
        let answer = match Answer::begin(response, taken, limits) {
            Ok(answer) => answer,
            Err((failure, untaken)) => {
                *head.lock() = untaken;
                return Err(failure);
            }
        };
        answer.pass(|| ended.load(Ordering::Relaxed)).await?;
        // A guest that has ended does not wait for it.
        let _ = delivering.send(());
        Ok(())
    };
    tokio::select! {
        biased;
        () = abandoned(head) => Err(Failure::Abandoned),
        both = side_by_side(guest, answer, &ended, running) => both,
    }
}

/// Runs both to their ends. The first failure ends both. Whatever ends it, `running` goes before the guest does, so that
/// what the guest was writing does not look complete.
async fn side_by_side(
    guest: impl Future<Output = Result<(), Failure>>,
    answer: impl Future<Output = Result<(), Failure>>,
    ended: &AtomicBool,
    running: Running,
) -> Result<(), Failure> {
    let (mut guest, mut answer) = (pin!(guest), pin!(answer));
    let _running = running;
    let mut answered = false;
    loop {
        tokio::select! {
            biased;
            passed = &mut answer, if !answered => {
                passed?;
                answered = true;
            }
            done = &mut guest, if !ended.load(Ordering::Relaxed) => {
                done?;
                ended.store(true, Ordering::Relaxed);
            }
            else => return Ok(()),
        }
    }
}

/// Ends when nobody waits for the head any more; never once it was sent.
async fn abandoned(head: &Mutex<Option<Head>>) {
    poll_fn(|cx| match head.lock().as_mut() {
        Some(head) => head.poll_closed(cx),
        None => std::task::Poll::Pending,
    })
    .await;
}

/// The client's request as the guest reads it.
fn incoming(request: Request<Body>, body_bytes: u64, idle: std::time::Duration) -> Request<WasiBody> {
    request.map(|body| body.limited(body_bytes, idle).map_err(|error| told(&error)).boxed_unsync())
}
