//! The engine that all components share: compiler settings, the pool of instances, the clock, and the imports.
//!
//! It is an engine of its own beside that of the policy runtime, whose plugins are synchronous: components of
//! `wasi:http@0.3` need the machinery for concurrent tasks, and each instance pays microseconds for it.

mod ticker;

use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{p2, p3};

use crate::error::{EngineError, LoadError};
use crate::function::Function;
use crate::limits::{EngineLimits, MOST_INSTANCES, TABLE_ELEMENTS};
use crate::load::{self, FunctionSpec};
use crate::next;
use crate::state::State;
use ticker::Ticker;

/// Core instances in one component. A composed one brings several modules, and adapters between them.
const CORE_INSTANCES_PER_COMPONENT: u32 = 32;
const MEMORIES_PER_COMPONENT: u32 = 4;
const TABLES_PER_COMPONENT: u32 = 16;
/// Stacks for each instance on average: one for each task of it that is inside the guest.
const STACKS_PER_INSTANCE: u32 = 2;

/// Compiles and runs components. Cheap to clone; clones share the pool and the clock.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What every component holds on to.
pub(crate) struct Shared {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) limits: EngineLimits,
    /// Runs for as long as anything can call into a guest.
    _ticker: Ticker,
}

impl Engine {
    /// Makes the pool and starts the clock.
    ///
    /// # Errors
    /// The limits make no engine, or the pool cannot be reserved.
    pub fn new(limits: &EngineLimits) -> Result<Self, EngineError> {
        check(limits)?;
        let failed = |error: wasmtime::Error| EngineError::Engine(format!("{error:#}"));
        let engine = wasmtime::Engine::new(&config(limits)).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        link(&mut linker).map_err(failed)?;
        let ticker = Ticker::start(engine.weak()).map_err(|error| EngineError::Engine(error.to_string()))?;
        Ok(Self { shared: Arc::new(Shared { engine, linker, limits: limits.clone(), _ticker: ticker }) })
    }

    /// Compiles a component, checks what it imports against what it is granted, and starts one instance to see that it
    /// does. Blocks for as long as compiling takes: tens of milliseconds for a small Rust component, seconds for one
    /// that carries a JavaScript engine.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, spec: FunctionSpec) -> Result<Function, LoadError> {
        load::load(&self.shared, spec)
    }
}

fn check(limits: &EngineLimits) -> Result<(), EngineError> {
    if limits.instances == 0 || limits.instances > MOST_INSTANCES {
        return Err(EngineError::BadLimits("instances must be from 1 to 1000"));
    }
    if limits.memory_bytes == 0 || limits.memory_bytes > 1 << 32 {
        return Err(EngineError::BadLimits("memory_bytes must be from 1 to 4 GiB"));
    }
    Ok(())
}

fn config(limits: &EngineLimits) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)))
        // Deadlines: code checks the epoch at loops and calls, and yields to other requests at each tick.
        .epoch_interruption(true)
        .concurrency_support(true)
        .wasm_component_model_async(true)
        // The same inputs give the same answer on every machine.
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
        .total_stacks(instances.saturating_mul(STACKS_PER_INSTANCE))
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT.min(instances))
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(limits.memory_bytes)
        // Reset by copying instead of unmapping: no page faults and no interrupts to other cores per request.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto)
        // Larger batches made a small pool report full while its slots waited for their batch.
        .decommit_batch_size(1);
    pool
}

/// Everything of the standard but sockets: those are not here, not even closed.
fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use p2::bindings::{cli, filesystem, random};
    p2::add_to_linker_proxy_interfaces_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, State::random)?;

    p3::cli::add_to_linker(linker)?;
    p3::clocks::add_to_linker(linker)?;
    p3::filesystem::add_to_linker(linker)?;
    p3::random::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    next::add_to_linker(linker)
}
