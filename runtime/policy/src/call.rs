//! One call into a guest: a store with its limits, and an error with its true name.

use wasmtime::component::{ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

use crate::error::Failure;
use crate::limits::{HANDLES, HOST_CALL_BYTES};
use crate::state::{CallState, Stop};

/// Makes a store for one instance. A guest may run in it once its state began a call.
///
/// At each tick the guest yields to the other tasks of its thread. Only ticks in which it ran count, and the state
/// counts them, as it does what the host works for the guest, since no tick ends a host function.
pub(crate) fn store(engine: &wasmtime::Engine, state: CallState) -> Store<CallState> {
    let fuel = HOST_CALL_BYTES.saturating_add(state.limits().part_bytes);
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(fuel);
    store.set_max_component_handles(HANDLES);
    store.epoch_deadline_callback(|mut context| {
        context.data_mut().tick()?;
        Ok(UpdateDeadline::Yield(1))
    });
    store.set_epoch_deadline(1);
    store
}

/// Makes a fresh instance.
pub(crate) async fn instance(
    store: &mut Store<CallState>,
    pre: &InstancePre<CallState>,
) -> Result<Instance, Failure> {
    pre.instantiate_async(&mut *store).await.map_err(|error| failure(&error))
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
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Deadline => Failure::Deadline,
            Stop::Memory => Failure::Memory,
            Stop::HostCalls => Failure::HostCalls,
            Stop::BadVerdict(why) => Failure::BadVerdict(why.clone()),
            Stop::Unavailable(_) => Failure::Internal(stop.to_string()),
            Stop::NotHere(what) => Failure::Trap((*what).to_owned()),
            Stop::Wasi(_) => Failure::Trap(stop.to_string()),
        };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::PoolExhausted;
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => Failure::Trap(trap.to_string()),
        // What is left are values that the host could not read: text that is not UTF-8, too much of it.
        None => Failure::BadVerdict(error.root_cause().to_string()),
    }
}
