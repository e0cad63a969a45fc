//! One call into a guest: a store with its limits, and an error with its true name.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::Mutex;
use wasmtime::component::{ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc};
use wasmtime::{OutOfMemory, PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

use crate::error::Failure;
use crate::limits::{HANDLES, HOST_CALL_BYTES};
use crate::state::{CallState, Stop};

/// Makes a store for one instance. A guest may run in it once its state began a call.
///
/// At each tick the guest yields to the other tasks of its thread. Only time in which it ran counts, and the state
/// counts it, as it does what the host works for the guest, since no tick ends a host function.
pub(crate) fn store(engine: &wasmtime::Engine, state: CallState) -> Store<CallState> {
    let fuel = HOST_CALL_BYTES.saturating_add(state.limits().part_bytes);
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(fuel);
    store.set_max_component_handles(HANDLES);
    let mut last: Option<Resumed> = None;
    store.epoch_deadline_callback(move |mut context| {
        let resumed = last.take().and_then(|resumed| *resumed.lock());
        context.data_mut().tick(resumed)?;
        let pause = Pause::default();
        last = Some(Arc::clone(&pause.resumed));
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(pause)))
    });
    store.set_epoch_deadline(1);
    store
}

/// When a guest went on after it yielded.
type Resumed = Arc<Mutex<Option<Instant>>>;

/// Lets the other tasks of the thread run, and notes when the guest goes on.
#[derive(Default)]
struct Pause {
    yielded: bool,
    resumed: Resumed,
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.yielded, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        *self.resumed.lock() = Some(Instant::now());
        Poll::Ready(())
    }
}

/// Makes a fresh instance.
pub(crate) async fn instance(store: &mut Store<CallState>, pre: &InstancePre<CallState>) -> Result<Instance, Failure> {
    pre.instantiate_async(&mut *store).await.map_err(|error| in_making(&error))
}

/// Calls a hook of an instance.
pub(crate) async fn hook<P, R>(
    store: &mut Store<CallState>,
    function: &TypedFunc<P, R>,
    params: P,
) -> Result<R, Failure>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    // The tick that ends now may have begun before the call did.
    store.set_epoch_deadline(1);
    function.call_async(&mut *store, params).await.map_err(|error| failure(&error))
}

/// Names what ended a call.
pub(crate) fn failure(error: &wasmtime::Error) -> Failure {
    match known(error) {
        Some(failure) => failure,
        None if is_of_the_node(error) => Failure::internal(&error.root_cause().to_string()),
        // What is left are values that the host could not read: text that is not UTF-8, too much of it.
        None => Failure::bad_verdict(&error.root_cause().to_string()),
    }
}

/// Names what kept an instance from being made. A guest gives nothing then that could be wrong: what is neither its start
/// function nor the pool is the node.
pub(crate) fn in_making(error: &wasmtime::Error) -> Failure {
    known(error).unwrap_or_else(|| Failure::internal(&error.root_cause().to_string()))
}

fn known(error: &wasmtime::Error) -> Option<Failure> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Some(match stop {
            Stop::Deadline => Failure::Deadline,
            Stop::Memory => Failure::Memory,
            Stop::HostCalls => Failure::HostCalls,
            Stop::BadVerdict(why) => Failure::bad_verdict(why),
            Stop::Unavailable(_) => Failure::Internal(stop.to_string()),
            Stop::NotHere(what) => Failure::trap(what),
            Stop::Wasi(_) => Failure::trap(&stop.to_string()),
        });
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Some(Failure::PoolExhausted);
    }
    error.downcast_ref::<Trap>().map(|trap| Failure::Trap(trap.to_string()))
}

/// Whether the machine could not do its part.
pub(crate) fn is_of_the_node(error: &wasmtime::Error) -> bool {
    error.is::<std::io::Error>() || error.is::<rustix::io::Errno>() || error.is::<OutOfMemory>()
}
