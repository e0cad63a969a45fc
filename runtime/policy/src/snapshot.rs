//! Configured once: runs `configure` and makes a component whose memory starts as that left it.
//!
//! A plugin may parse a table of thousands of entries in `configure`; a fresh instance then costs what any
//! fresh instance costs. Host calls are refused meanwhile: what a snapshot saw, every call would see again.

use wasmtime::component::{Component, ComponentType, Instance, Lift, Linker, WasmList};
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::call;
use crate::error::{Failure, LoadError};
use crate::limits::REFUSAL_BYTES;
use crate::log_lines::told;
use crate::ready::Keeper;
use crate::state::CallState;

/// Runs `configure(config)` of the component `wasm` in a store and returns the configured component.
///
/// # Errors
/// [`LoadError::Refused`] with the plugin's own words, [`LoadError::Configure`] when it did not end well,
/// [`LoadError::Snapshot`] when the component uses what cannot be snapshotted.
pub(crate) async fn configure(
    linker: &Linker<CallState>,
    keeper: &Keeper,
    store: impl Fn() -> Store<CallState>,
    wasm: &[u8],
    config: &str,
) -> Result<Vec<u8>, LoadError> {
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument_component(wasm).map_err(unsnapshottable)?;
    let component = Component::from_binary(linker.engine(), &instrumented)
        .map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    let mut search = keeper.search();
    let (mut store, instance) = loop {
        let mut store = store();
        match linker.instantiate_async(&mut store, &component).await.map_err(|error| call::in_making(&error)) {
            Ok(instance) => break (store, instance),
            // What waits for calls must not keep a plugin from being loaded.
            Err(Failure::PoolExhausted) if search.again().await => {}
            Err(failure) => return Err(LoadError::Configure(failure)),
        }
    };
    run(&mut store, &instance, config).await?;

    // From here on the host reads the guest's state, by functions that wizer added.
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
    store.set_hostcall_fuel(usize::MAX);
    let mut state = Configured { store: &mut store, instance, broken: None };
    let snapshot = wizer.snapshot_component(&context, &mut state).await.map_err(unsnapshottable)?;
    match state.broken {
        None => Ok(snapshot),
        Some(error) => Err(unsnapshottable(error)),
    }
}

async fn run(store: &mut Store<CallState>, instance: &Instance, config: &str) -> Result<(), LoadError> {
    let configure = instance
        .get_typed_func::<(&str,), (Result<(), String>,)>(&mut *store, "configure")
        .map_err(|error| LoadError::Signature { item: "configure".to_owned(), reason: format!("{error:#}") })?;
    let (result,) = configure
        .call_async(&mut *store, (config,))
        .await
        .map_err(|error| LoadError::Configure(call::failure(&error)))?;
    result.map_err(|words| LoadError::Refused(told(&words, REFUSAL_BYTES)))
}

#[allow(clippy::needless_pass_by_value)]
fn unsnapshottable(error: wasmtime::Error) -> LoadError {
    LoadError::Snapshot(format!("{error:#}"))
}

/// An instance after `configure`, as wizer reads it.
struct Configured<'a> {
    store: &'a mut Store<CallState>,
    instance: Instance,
    /// The first read that failed. Wizer's trait has no room for errors, so it is kept until the end.
    broken: Option<wasmtime::Error>,
}

impl Configured<'_> {
    async fn read<R>(&mut self, instance: &str, function: &str) -> Option<R>
    where
        R: ComponentType + Lift + Send + Sync + 'static,
    {
        match self.try_read(instance, function).await {
            Ok(value) => Some(value),
            Err(error) => {
                self.broken.get_or_insert(error);
                None
            }
        }
    }

    async fn try_read<R>(&mut self, instance: &str, function: &str) -> wasmtime::Result<R>
    where
        R: ComponentType + Lift + Send + Sync + 'static,
    {
        let missing = || wasmtime::Error::msg("the instrumented component has no accessor");
        let store = &mut *self.store;
        let outer = self.instance.get_export_index(&mut *store, None, instance).ok_or_else(missing)?;
        let inner = self.instance.get_export_index(&mut *store, Some(&outer), function).ok_or_else(missing)?;
        let accessor = self.instance.get_typed_func::<(), (R,)>(&mut *store, inner)?;
        Ok(accessor.call_async(&mut *store, ()).await?.0)
    }
}

impl ComponentInstanceState for Configured<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, function: &str, contents: impl FnOnce(&[u8]) + Send) {
        if let Some(bytes) = self.read::<WasmList<u8>>(instance, function).await {
            contents(bytes.as_le_slice(&*self.store));
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, function: &str) -> i32 {
        self.read(instance, function).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, function: &str) -> i64 {
        self.read(instance, function).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, function: &str) -> u32 {
        self.read::<f32>(instance, function).await.unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, function: &str) -> u64 {
        self.read::<f64>(instance, function).await.unwrap_or_default().to_bits()
    }
}
