//! Components for the standard `wasi:http` on a route: a function that answers in an origin's place, and middleware in
//! front of either. The policies of the route run before and after them, as they do for an origin.

mod chain;
mod outbound;

use std::sync::Arc;

use forebay_policy::signature::Verified;
use forebay_wasi_http::{CallLimits, Engine, EngineLimits, Function, FunctionSpec, Grant, OnCut};
use parking_lot::Mutex;

use crate::config::{self, Config, Target};
use crate::error::StartError;
use crate::policy::store::{Admitted, Gatekeeper, Store};
use crate::telemetry::metrics::Metrics;
use outbound::FunctionOutbound;

pub(crate) use chain::pass;

/// What outlives a configuration: the engine, made when the first function is loaded.
pub(crate) struct Functions {
    instances: u32,
    engine: Mutex<Option<Engine>>,
    metrics: Arc<Metrics>,
}

impl Functions {
    /// For `instances` requests at once, over all functions.
    pub(crate) fn new(instances: u32, metrics: &Arc<Metrics>) -> Self {
        Self { instances, engine: Mutex::default(), metrics: Arc::clone(metrics) }
    }

    /// Counts what happens to a function's answers on their way.
    fn on_cut(&self, name: &str) -> OnCut {
        let (metrics, name) = (Arc::clone(&self.metrics), name.to_owned());
        Arc::new(move |failure| metrics.policy_failed(&name, failure.reason()))
    }

    fn engine(&self) -> Result<Engine, StartError> {
        let mut made = self.engine.lock();
        if let Some(engine) = &*made {
            return Ok(engine.clone());
        }
        let limits = EngineLimits { instances: self.instances, ..EngineLimits::default() };
        let engine = Engine::new(&limits).map_err(|error| StartError::Policy(error.to_string()))?;
        Ok(made.insert(engine).clone())
    }
}

/// A function, with what it was loaded from.
pub(crate) struct Loaded {
    pub(crate) config: config::Function,
    pub(crate) function: Function,
    /// What its signer says of it; None where functions need no signature.
    pub(crate) verified: Option<Verified>,
}

/// Loads every function that `config` names; one that is still the same as in `before` lives on.
///
/// # Errors
/// One of them is not fit to serve.
pub(crate) fn load(
    config: &Config,
    functions: &Functions,
    store: &Store,
    before: Option<&[Loaded]>,
) -> Result<Vec<Loaded>, StartError> {
    if config.functions.is_empty() {
        return Ok(Vec::new());
    }
    let gatekeeper = Gatekeeper::new(config, store)?;
    let mut loaded = Vec::new();
    for (index, function) in config.functions.iter().enumerate() {
        let Admitted { wasm, verified } = gatekeeper.admit(&format!("functions[{index}]"), function)?;
        gatekeeper.check_version(function, verified.as_ref())?;
        let known = before.into_iter().flatten().find(|known| known.config == *function && known.is_of(&wasm));
        let made = match known {
            Some(known) => known.function.clone(),
            None => load_one(config, functions, function, wasm)?,
        };
        Admitted::check(verified.as_ref(), function, made.manifest())?;
        loaded.push(Loaded { config: function.clone(), function: made, verified });
    }
    Ok(loaded)
}

impl Loaded {
    fn is_of(&self, wasm: &[u8]) -> bool {
        self.function.digest() == forebay_wasi_http::digest(wasm)
    }
}

fn load_one(
    config: &Config,
    functions: &Functions,
    function: &config::Function,
    wasm: Vec<u8>,
) -> Result<Function, StartError> {
    let defaults = CallLimits::default();
    let limits = CallLimits {
        deadline: function.deadline.unwrap_or(defaults.deadline),
        lifetime: function.lifetime.unwrap_or(defaults.lifetime),
        memory_bytes: function.memory_bytes.unwrap_or(defaults.memory_bytes),
        body_bytes: function.body_bytes.map_or(defaults.body_bytes, |bytes| bytes as u64),
        idle: config.limits.listener.idle,
        instances: function.instances,
        quarantine_after: function.quarantine_after.unwrap_or(defaults.quarantine_after),
        ..defaults
    };
    let outbound = match function.grants.contains(&Grant::WasiHttp) {
        true => Some(FunctionOutbound::new(function.outbound_ca.as_deref())?.into_upstream()),
        false => None,
    };
    let spec = FunctionSpec {
        name: function.name.clone(),
        wasm,
        grants: function.grants.clone(),
        origins: function.origins.clone(),
        outbound,
        env: function.env.clone(),
        limits,
        on_cut: Some(functions.on_cut(&function.name)),
    };
    let loaded = functions.engine()?.load(spec).map_err(|error| refused(&function.name, error.to_string()))?;
    tracing::info!(function = loaded.name(), digest = loaded.digest(), imports = ?loaded.imports(), "function loaded");
    Ok(loaded)
}

fn refused(name: &str, reason: String) -> StartError {
    StartError::Function { name: name.to_owned(), reason }
}

/// What stands on a route in an origin's place or in front of it, from the client's side on.
#[derive(Clone, Default)]
pub(crate) struct Stack(Arc<[Function]>);

impl Stack {
    /// The middleware of a route, and its function.
    ///
    /// # Errors
    /// A component stands where it makes no sense.
    pub(crate) fn of(route: &config::Route, loaded: &[Loaded]) -> Result<Self, StartError> {
        let find = |name: &str| loaded.iter().map(|one| &one.function).find(|function| function.name() == name);
        let mut stack: Vec<Function> = route.middleware.iter().filter_map(|name| find(name)).cloned().collect();
        if let Some(odd) = stack.iter().find(|function| !function.is_middleware()) {
            let reason = "it does not import wasi:http/handler, so nothing behind it would ever be asked";
            return Err(refused(odd.name(), reason.to_owned()));
        }
        if let Target::Function(target) = &route.target
            && let Some(function) = find(&target.name)
        {
            if function.is_middleware() {
                let reason = "it imports wasi:http/handler, and nothing is behind the function of a route";
                return Err(refused(function.name(), reason.to_owned()));
            }
            stack.push(function.clone());
        }
        Ok(Self(stack.into()))
    }

    /// Whether requests go to the origin as they are.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
