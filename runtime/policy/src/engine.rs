//! The engine that all plugins share: compiler settings, the pool of instances, the clock.
//!
//! The settings are the difference between 10 and 60 microseconds for a fresh instance, and between threads
//! that scale and threads that interrupt each other; each says why it is there.

mod mappings;
mod ticker;

use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::artefact::ArtefactCache;
use crate::error::{LoadError, PolicyError};
use crate::host;
use crate::limits::{EngineLimits, READY_SHARE_OF_POOL, TABLE_ELEMENTS};
use crate::load::{self, PluginSpec};
use crate::plugin::Plugin;
use crate::ready::Keeper;
use crate::state::CallState;
use ticker::Ticker;

/// Core instances in one component: the module itself and the small ones that a component is tied with. A plugin in
/// Rust has 4, one that carries a Python interpreter, which is linked from many modules, 38. Only counted: an instance of
/// a small component costs nothing for it.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
const TABLES_PER_COMPONENT: u32 = 4;

/// Compiles and runs plugins. Cheap to clone; clones share the pool and the clock.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    artefacts: Option<Arc<ArtefactCache>>,
}

/// What every plugin holds on to.
pub(crate) struct Shared {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) linker: Linker<CallState>,
    pub(crate) limits: EngineLimits,
    /// Runs for as long as anything can call into a guest.
    _ticker: Ticker,
    /// Keeps instances that were made ahead of their calls.
    pub(crate) keeper: Arc<Keeper>,
}

impl Engine {
    /// Makes the pool and starts the clock.
    ///
    /// # Errors
    /// [`PolicyError::TooManyInstances`] when the machine's `vm.max_map_count` does not carry
    /// `limits.instances`; [`PolicyError::Engine`] when the pool cannot be reserved.
    pub fn new(limits: &EngineLimits) -> Result<Self, PolicyError> {
        check(limits)?;
        let failed = |error: wasmtime::Error| PolicyError::Engine(format!("{error:#}"));
        let engine = wasmtime::Engine::new(&config(limits)).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        host::add_to_linker(&mut linker).map_err(failed)?;
        let ticker = Ticker::start(engine.weak()).map_err(|error| PolicyError::Engine(error.to_string()))?;
        let keeper = Keeper::new(limits.instances / READY_SHARE_OF_POOL);
        let shared = Shared { engine, linker, limits: limits.clone(), _ticker: ticker, keeper };
        Ok(Self { shared: Arc::new(shared), artefacts: None })
    }

    /// The same engine, which keeps what it compiles in `artefacts` and loads from there what it compiled before.
    #[must_use]
    pub fn with_artefacts(self, artefacts: Arc<ArtefactCache>) -> Self {
        Self { artefacts: Some(artefacts), ..self }
    }

    /// Compiles a plugin, checks what it imports against what it is granted, runs its `configure` and keeps
    /// the memory that it leaves. Blocks for as long as compiling takes: milliseconds for a Rust plugin,
    /// seconds for one that carries a JavaScript engine.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, spec: PluginSpec) -> Result<Plugin, LoadError> {
        load::load(&self.shared, self.artefacts.as_ref(), spec)
    }

    /// As [`Engine::load`], unless it would make `before` again, from the same component, configuration and limits: then
    /// that plugin lives on, with its memo, its quarantine and its calls in flight, and with the services of `spec`.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_after(&self, before: &Plugin, spec: PluginSpec) -> Result<Plugin, LoadError> {
        match load::same_again(&self.shared, &spec, before) {
            Some(plugin) => Ok(plugin),
            None => self.load(spec),
        }
    }
}

fn check(limits: &EngineLimits) -> Result<(), PolicyError> {
    if limits.instances == 0 {
        return Err(PolicyError::BadLimits("instances must be at least 1"));
    }
    if limits.memory_bytes == 0 || limits.memory_bytes > 1 << 32 {
        return Err(PolicyError::BadLimits("memory_bytes must be between 1 and 4 GiB"));
    }
    mappings::check(limits.instances, mappings::max_map_count())
}

fn config(limits: &EngineLimits) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)))
        // Deadlines: code checks the epoch at loops and calls, and yields to other requests at each tick.
        .epoch_interruption(true)
        // Hooks are synchronous; the machinery for asynchronous components costs microseconds each.
        .concurrency_support(false)
        // The same inputs give the same verdict on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // A guest's trap is an ordinary outcome here: nobody reads its stack.
        .wasm_backtrace_max_frames(None)
        .memory_init_cow(true);
    config
}

fn pool(limits: &EngineLimits) -> PoolingAllocationConfig {
    let instances = limits.instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances)
        .total_stacks(instances)
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(limits.memory_bytes)
        // Reset by copying instead of unmapping: no page faults and no interrupts to other cores per call.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto)
        // Larger batches made a small pool report full while its slots waited for their batch.
        .decommit_batch_size(1);
    pool
}
