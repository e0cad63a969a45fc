//! The state of one request inside a component: its part of the standard's world, and what it has left.
//!
//! It is the data of the instance's store, so it ends with the instance.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::computing::Computing;
use crate::error::Stop;
use crate::hooks::Hooks;
use crate::limits::{CONCURRENT, CallLimits, HANDLES, HOST_CALL_BYTES, RANDOM_BYTES, TABLE_ELEMENTS};
use crate::stdio::Stdio;

/// The data of one store.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    pub(crate) hooks: Hooks,
    memory_left: usize,
}

impl State {
    pub(crate) fn new(environment: &[(String, String)], stdio: &Stdio, hooks: Hooks, limits: &CallLimits) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.envs(environment).stdout(stdio.clone()).stderr(stdio.clone()).max_random_size(RANDOM_BYTES);
        // Sockets are not linked either.
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.header_bytes);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self { wasi: wasi.build(), http, table, hooks, memory_left: limits.memory_bytes }
    }
}

/// Makes a store in which a guest may compute for as long as `computing` says. At each tick it yields to the other tasks of
/// its thread.
pub(crate) fn store(engine: &wasmtime::Engine, state: State, computing: Computing) -> Store<State> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(HOST_CALL_BYTES);
    store.epoch_deadline_callback(move |mut context| {
        computing.check()?;
        if context.concurrent_state_table_size() > CONCURRENT {
            return Err(Stop::HostCalls.into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
    store.set_epoch_deadline(1);
    store
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

impl ResourceLimiter for State {
    /// Fails the request instead of the growth: a guest that cannot get memory aborts anyway, and so the failure has
    /// its true name. The limit is for all memories of the component together.
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        self.memory_left = self.memory_left.checked_sub(more).ok_or(Stop::Memory)?;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS { Err(Stop::Memory.into()) } else { Ok(true) }
    }
}

/// What a store outlives: nothing of it is shared but this.
pub(crate) struct World {
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) limits: Arc<CallLimits>,
}
