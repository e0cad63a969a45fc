//! From bytes to a function: compile, read what it imports, find its handler, start one instance.
//!
//! Everything that can be wrong with a component is found here, so that a node refuses it before it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::engine::Shared;
use crate::error::{Failure, LoadError};
use crate::function::{Function, Inner};
use crate::grant::{Grant, Manifest};
use crate::limits::{CallLimits, MAX_COMPONENT_BYTES, SHARE_OF_POOL};
use crate::quarantine::Quarantine;
use crate::run::{Instance, Pre};
use crate::state::{State, World};
use crate::upstream::{Origin, Upstream};

/// What a component exports, by the version of the standard that it was written for.
const HANDLER_3: &str = "wasi:http/handler@0.3.";
const HANDLER_2: &str = "wasi:http/incoming-handler@0.2.";

/// Is told why a response was cut.
pub type OnCut = Arc<dyn Fn(&Failure) + Send + Sync>;

/// A component as the configuration describes it.
#[derive(Clone)]
pub struct FunctionSpec {
    /// Its name, for logs, metrics and errors.
    pub name: String,
    /// The bytes of the component.
    pub wasm: Vec<u8>,
    /// What it may be given of the world.
    pub grants: BTreeSet<Grant>,
    /// The origins that it may ask, with [`Grant::WasiHttp`].
    pub origins: Vec<Origin>,
    /// How it asks them. None: it cannot.
    pub outbound: Option<Arc<dyn Upstream>>,
    /// Its environment variables: its configuration.
    pub env: BTreeMap<String, String>,
    /// What a request may use.
    pub limits: CallLimits,
    /// Told of every failure that came after its response's head, which nobody can be answered with any more.
    pub on_cut: Option<OnCut>,
}

/// Loads on a thread of its own: compiling is long, and must not reach a thread that serves requests.
pub(crate) fn load(shared: &Arc<Shared>, spec: FunctionSpec) -> Result<Function, LoadError> {
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("forebay-wasi-load".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(internal)?;
            runtime.block_on(load_here(&shared, spec))
        })
        .map_err(internal)?;
    thread.join().unwrap_or_else(|_| Err(LoadError::Internal("the component broke the loader".to_owned())))
}

async fn load_here(shared: &Arc<Shared>, spec: FunctionSpec) -> Result<Function, LoadError> {
    check_limits(shared, &spec)?;
    let component =
        Component::from_binary(&shared.engine, &spec.wasm).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    let manifest = Manifest::of(&component)?;
    if !manifest.grants.is_subset(&spec.grants) {
        let (needs, granted) = (manifest.grants.into_iter().collect(), spec.grants.into_iter().collect());
        return Err(LoadError::NotGranted { needs, granted });
    }
    let pre = handler(&component, link(shared, &component, &manifest)?)?;
    let limits = Arc::new(spec.limits);
    let world = World { environment: spec.env.into_iter().collect(), limits: Arc::clone(&limits) };
    let share = limits.instances.unwrap_or((shared.limits.instances / SHARE_OF_POOL).max(1));
    let inner = Inner {
        name: spec.name.into(),
        digest: digest(&spec.wasm),
        manifest: manifest.names(),
        imports: manifest.grants,
        middleware: manifest.next,
        pre,
        world,
        origins: spec.origins.into(),
        outbound: spec.outbound.filter(|_| spec.grants.contains(&Grant::WasiHttp)),
        on_cut: spec.on_cut,
        places: Arc::new(Semaphore::new(share as usize)),
        quarantine: Quarantine::new(limits.quarantine_after),
        shared: Arc::clone(shared),
    };
    let function = Function { inner: Arc::new(inner) };
    Instance::start(&function.inner, None).await.map_err(LoadError::Start)?;
    Ok(function)
}

fn check_limits(shared: &Shared, spec: &FunctionSpec) -> Result<(), LoadError> {
    if spec.wasm.len() > MAX_COMPONENT_BYTES {
        return Err(LoadError::TooLarge { bytes: spec.wasm.len(), limit: MAX_COMPONENT_BYTES });
    }
    let most = shared.limits.memory_bytes;
    if spec.limits.memory_bytes > most {
        let asked = spec.limits.memory_bytes;
        return Err(LoadError::BadLimits(format!("memory_bytes is {asked}, the engine allows {most}")));
    }
    let pool = shared.limits.instances;
    match spec.limits.instances {
        Some(asked) if asked == 0 || asked > pool => {
            Err(LoadError::BadLimits(format!("instances is {asked}, it must be between 1 and {pool}")))
        }
        _ => Ok(()),
    }
}

fn link(shared: &Shared, component: &Component, manifest: &Manifest) -> Result<InstancePre<State>, LoadError> {
    let unfit = |error: wasmtime::Error| LoadError::Signature(format!("{error:#}"));
    if !manifest.sockets {
        return shared.linker.instantiate_pre(component).map_err(unfit);
    }
    // What is left unlinked are sockets: every other import was named by the manifest.
    let mut linker = shared.linker.clone();
    linker.define_unknown_imports_as_traps(component).map_err(unfit)?;
    linker.instantiate_pre(component).map_err(unfit)
}

fn handler(component: &Component, pre: InstancePre<State>) -> Result<Pre, LoadError> {
    let engine = component.engine();
    let exports = |prefix: &str| component.component_type().exports(engine).any(|(name, _)| name.starts_with(prefix));
    let unfit = |error: wasmtime::Error| LoadError::Signature(format!("{error:#}"));
    if exports(HANDLER_3) {
        ServicePre::new(pre).map(Pre::P3).map_err(unfit)
    } else if exports(HANDLER_2) {
        ProxyPre::new(pre).map(Pre::P2).map_err(unfit)
    } else {
        Err(LoadError::NoHandler)
    }
}

/// What a component for `wasi:http` imports, found out without running it: what a publisher signs. The names of the grants
/// that it needs, and `handler` where it calls what comes next. None: it exports no handler, so it is something else.
///
/// # Errors
/// It is no component, or imports what is not offered.
pub fn manifest(wasm: &[u8]) -> Result<Option<BTreeSet<String>>, LoadError> {
    if wasm.len() > MAX_COMPONENT_BYTES {
        return Err(LoadError::TooLarge { bytes: wasm.len(), limit: MAX_COMPONENT_BYTES });
    }
    let failed = |error: wasmtime::Error| LoadError::Compile(format!("{error:#}"));
    // The code is not used.
    let mut config = wasmtime::Config::new();
    config.cranelift_opt_level(wasmtime::OptLevel::None).wasm_component_model_async(true);
    let engine = wasmtime::Engine::new(&config).map_err(failed)?;
    let component = Component::from_binary(&engine, wasm).map_err(failed)?;
    let handles = |name: &str| name.starts_with(HANDLER_3) || name.starts_with(HANDLER_2);
    if !component.component_type().exports(&engine).any(|(name, _)| handles(name)) {
        return Ok(None);
    }
    Manifest::of(&component).map(|manifest| Some(manifest.names()))
}

/// What a component is known by: SHA-256 of its bytes, in hexadecimal.
#[must_use]
pub fn digest(wasm: &[u8]) -> String {
    Sha256::digest(wasm).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[allow(clippy::needless_pass_by_value)]
fn internal(error: std::io::Error) -> LoadError {
    LoadError::Internal(error.to_string())
}
