//! From bytes to a plugin: compile, read what it imports, configure, snapshot, find its hooks.
//!
//! Everything that can be wrong with a plugin is found here, so that a node refuses it before it serves.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower, Resource};

use crate::bindings::types::Verdict;
use crate::call;
use crate::capability::{self, Capability};
use crate::engine::Shared;
use crate::error::LoadError;
use crate::gate::Gate;
use crate::host::{MessageHandle, RequestHandle, ResponseHandle};
use crate::limits::{CallLimits, MAX_COMPONENT_BYTES, SHARE_OF_POOL};
use crate::phase::Phase;
use crate::plugin::{Hooks, Inner, Plugin};
use crate::snapshot;
use crate::state::{CallState, Subject};

/// A plugin as the configuration describes it.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// Its name, for logs, metrics and errors.
    pub name: String,
    /// The bytes of the component.
    pub wasm: Vec<u8>,
    /// The text that its `configure` gets. Must be empty for a plugin without one.
    pub config: String,
    /// The interfaces that it may import functions of.
    pub grants: BTreeSet<Capability>,
    /// What a call may use.
    pub limits: CallLimits,
}

/// Loads on a thread of its own: compiling is long, the snapshotter panics on some malformed modules, and
/// neither may reach a thread that serves requests.
pub(crate) fn load(shared: &Arc<Shared>, spec: PluginSpec) -> Result<Plugin, LoadError> {
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("forebay-load".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(internal)?;
            runtime.block_on(load_here(&shared, spec))
        })
        .map_err(internal)?;
    thread.join().unwrap_or_else(|_| Err(LoadError::Internal("the component broke the loader".to_owned())))
}

async fn load_here(shared: &Arc<Shared>, spec: PluginSpec) -> Result<Plugin, LoadError> {
    check_limits(shared, &spec)?;
    let digest = digest(&spec.wasm, &spec.config);
    let name: Arc<str> = spec.name.into();
    let limits = Arc::new(spec.limits);
    let original = compile(shared, &spec.wasm)?;
    let imports = granted(&original, &spec.grants)?;

    let component = if original.get_export_index(None, "configure").is_some() {
        let configuring = CallState::new(Arc::clone(&name), None, Subject::default(), Arc::clone(&limits));
        let store = call::store(&shared.engine, configuring, limits.configure_deadline);
        let configured = snapshot::configure(&shared.linker, store, &spec.wasm, &spec.config).await?;
        compile(shared, &configured)?
    } else if spec.config.is_empty() {
        original
    } else {
        return Err(LoadError::NotConfigurable);
    };

    let hooks = hooks(&component)?;
    let pre = shared
        .linker
        .instantiate_pre(&component)
        .map_err(|error| LoadError::Signature { item: "imports".to_owned(), reason: format!("{error:#}") })?;
    let trial = CallState::new(Arc::clone(&name), None, Subject::default(), Arc::clone(&limits));
    let mut store = call::store(&shared.engine, trial, limits.configure_deadline);
    let instance =
        pre.instantiate_async(&mut store).await.map_err(|error| LoadError::Configure(call::failure(&error)))?;
    check_hooks(&mut store, &instance, &hooks)?;

    let gate = gate(shared, &limits);
    let shared = Arc::clone(shared);
    Ok(Plugin { inner: Arc::new(Inner { name, digest, imports, limits, pre, hooks, gate, shared }) })
}

fn check_limits(shared: &Shared, spec: &PluginSpec) -> Result<(), LoadError> {
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

fn gate(shared: &Shared, limits: &CallLimits) -> Gate {
    let share = (shared.limits.instances / SHARE_OF_POOL).max(1);
    Gate::new(limits.instances.unwrap_or(share), limits.quarantine_after)
}

fn compile(shared: &Shared, wasm: &[u8]) -> Result<Component, LoadError> {
    Component::from_binary(&shared.engine, wasm).map_err(|error| LoadError::Compile(format!("{error:#}")))
}

fn granted(component: &Component, grants: &BTreeSet<Capability>) -> Result<BTreeSet<Capability>, LoadError> {
    let used = capability::used_by(component)?;
    if used.is_subset(grants) {
        return Ok(used);
    }
    Err(LoadError::NotGranted { needs: used.into_iter().collect(), granted: grants.iter().copied().collect() })
}

fn hooks(component: &Component) -> Result<Hooks, LoadError> {
    let find = |phase: Phase| component.get_export_index(None, phase.hook());
    let hooks = Hooks {
        request: find(Phase::Request),
        forward: find(Phase::Forward),
        r#return: find(Phase::Return),
        response: find(Phase::Response),
    };
    if Phase::ALL.into_iter().any(|phase| hooks.phases().has(phase)) { Ok(hooks) } else { Err(LoadError::NoHooks) }
}

/// Checks the hooks' types now, so that a call never finds out.
fn check_hooks(store: &mut Store<CallState>, instance: &Instance, hooks: &Hooks) -> Result<(), LoadError> {
    type OnMessage = (Resource<MessageHandle>,);
    type OnResponse = (Resource<ResponseHandle>, Option<Resource<MessageHandle>>);
    check_hook::<(Resource<RequestHandle>,)>(store, instance, Phase::Request, hooks.request.as_ref())?;
    check_hook::<OnMessage>(store, instance, Phase::Forward, hooks.forward.as_ref())?;
    check_hook::<OnMessage>(store, instance, Phase::Return, hooks.r#return.as_ref())?;
    check_hook::<OnResponse>(store, instance, Phase::Response, hooks.response.as_ref())
}

fn check_hook<P>(
    store: &mut Store<CallState>,
    instance: &Instance,
    phase: Phase,
    index: Option<&ComponentExportIndex>,
) -> Result<(), LoadError>
where
    P: ComponentNamedList + Lower,
    (Verdict,): ComponentNamedList + Lift,
{
    let Some(index) = index else { return Ok(()) };
    match instance.get_typed_func::<P, (Verdict,)>(store, index) {
        Ok(_) => Ok(()),
        Err(error) => Err(LoadError::Signature { item: phase.hook().to_owned(), reason: format!("{error:#}") }),
    }
}

/// SHA-256 over the component and the configuration, each behind its length.
fn digest(wasm: &[u8], config: &str) -> String {
    let mut hash = Sha256::new();
    for part in [wasm, config.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[allow(clippy::needless_pass_by_value)]
fn internal(error: std::io::Error) -> LoadError {
    LoadError::Internal(error.to_string())
}
