//! One call into a guest: a store with its limits, and an error with its true name.

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

use crate::engine::ticks;
use crate::error::Failure;
use crate::limits::HOST_CALL_BYTES;
use crate::state::{CallState, Stop};

/// Makes a store in which a guest may run for `deadline`.
///
/// At each tick the guest yields to the other tasks of its thread. Only ticks in which it ran count. What the
/// host works for it is counted by the state, since no tick ends a host function.
pub(crate) fn store(engine: &wasmtime::Engine, state: CallState, deadline: std::time::Duration) -> Store<CallState> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(HOST_CALL_BYTES);
    let mut left = ticks(deadline);
    store.epoch_deadline_callback(move |mut context| {
        left = left.checked_sub(1).ok_or(Stop::Deadline)?;
        context.data_mut().pause()?;
        Ok(UpdateDeadline::Yield(1))
    });
    store.set_epoch_deadline(1);
    store
}

/// Makes a fresh instance and calls one of its hooks.
pub(crate) async fn hook<P, R>(
    store: &mut Store<CallState>,
    pre: &InstancePre<CallState>,
    index: &ComponentExportIndex,
    params: P,
) -> Result<R, Failure>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let instance = pre.instantiate_async(&mut *store).await.map_err(|error| failure(&error))?;
    let function = instance.get_typed_func::<P, R>(&mut *store, index).map_err(|error| failure(&error))?;
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
            Stop::NotHere(what) => Failure::Trap((*what).to_owned()),
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
