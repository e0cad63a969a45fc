//! From bytes to a plugin: compile, read what it imports, configure, snapshot, find its hooks.
//!
//! Everything that can be wrong with a plugin is found here, so that a node refuses it before it serves.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Linker};

use crate::artefact::{Artefact, ArtefactCache, ArtefactKey};
use crate::call;
use crate::capability::{self, Capability};
use crate::engine::Shared;
use crate::error::{Failure, LoadError};
use crate::gate::Gate;
use crate::limits::{CallLimits, MAX_COMPONENT_BYTES, SHARE_OF_POOL};
use crate::plugin::{Hooks, Inner, Plugin};
use crate::ready::{Hook, Ready, Recipe};
use crate::recall::Memory;
use crate::services::Services;
use crate::signature::{component_sha256, hex};
use crate::snapshot;
use crate::state::CallState;
use crate::wasi;

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
    /// What is behind its capabilities.
    pub services: Services,
}

/// Loads on a thread of its own: compiling is long, the snapshotter panics on some malformed modules, and
/// neither may reach a thread that serves requests.
pub(crate) fn load(
    shared: &Arc<Shared>,
    artefacts: Option<&Arc<ArtefactCache>>,
    spec: PluginSpec,
) -> Result<Plugin, LoadError> {
    let (shared, artefacts) = (Arc::clone(shared), artefacts.cloned());
    let thread = std::thread::Builder::new()
        .name("forebay-load".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(internal)?;
            runtime.block_on(load_here(&shared, artefacts.as_deref(), spec))
        })
        .map_err(internal)?;
    thread.join().unwrap_or_else(|_| Err(LoadError::Internal("the component broke the loader".to_owned())))
}

/// `before` with the services of `spec`, if loading `spec` would make the same plugin again.
pub(crate) fn same_again(shared: &Arc<Shared>, spec: &PluginSpec, before: &Plugin) -> Option<Plugin> {
    let known = &before.inner;
    let is_same = Arc::ptr_eq(shared, &known.shared)
        && *known.name == *spec.name
        && *known.ready.recipe.limits == spec.limits
        && known.digest == digest(&component_sha256(&spec.wasm), &spec.config)
        && check_allowed(&known.imports, spec).is_ok();
    is_same.then(|| Plugin { inner: Arc::new(known.with_services(spec.services.clone())) })
}

async fn load_here(
    shared: &Arc<Shared>,
    artefacts: Option<&ArtefactCache>,
    spec: PluginSpec,
) -> Result<Plugin, LoadError> {
    check_limits(shared, &spec)?;
    let sha256 = component_sha256(&spec.wasm);
    let digest = digest(&sha256, &spec.config);
    let key = ArtefactKey::of(&shared.engine, &shared.limits, &sha256, &spec.config, &spec.limits);
    let name: Arc<str> = spec.name.as_str().into();
    let limits = Arc::new(spec.limits.clone());
    let services = Arc::new(spec.services.clone());
    let fresh =
        |deadline: Duration| CallState::new(Arc::clone(&name), Arc::clone(&limits), Arc::clone(&services), deadline);
    let kept = artefacts.and_then(|artefacts| artefacts.find(&shared.engine, &key));
    let is_new = kept.is_none();
    let Artefact { component, imports } = match kept {
        Some(artefact) => artefact,
        None => make(shared, &spec, || fresh(spec.limits.configure_deadline)).await?,
    };
    check_allowed(&imports, &spec)?;
    check_same(&imports, &capability::used_by(&component)?)?;
    let stubbed = wasi::imports(&component);
    let linker = linker(shared, &component, &stubbed)?;

    let hooks = hooks(&component)?;
    let pre = linker
        .instantiate_pre(&component)
        .map_err(|error| LoadError::Signature { item: "imports".to_owned(), reason: format!("{error:#}") })?;
    let (mut store, instance) = try_out(shared, &pre, || fresh(limits.deadline)).await?;
    check_hooks(&mut store, &instance, &hooks)?;

    if let Some(artefacts) = artefacts.filter(|_| is_new) {
        artefacts.keep(&key, &component, &imports);
    }
    let gate = Arc::new(gate(shared, &limits));
    let memory = Arc::new(Memory::new(&imports, hooks.phases(), &limits));
    let most = limits.ready;
    let recipe = Recipe { name: Arc::clone(&name), limits, services, engine: shared.engine.clone(), pre, hooks };
    let ready = Arc::new(Ready::new(recipe, Arc::clone(&gate), shared, most));
    let shared = Arc::clone(shared);
    let failures = Arc::default();
    Ok(Plugin { inner: Arc::new(Inner { name, digest, imports, stubbed, ready, gate, failures, memory, shared }) })
}

/// Makes the first instance, as requests will.
async fn try_out(
    shared: &Shared,
    pre: &InstancePre<CallState>,
    state: impl Fn() -> CallState,
) -> Result<(Store<CallState>, Instance), LoadError> {
    let mut search = shared.keeper.search();
    loop {
        let mut store = call::store(&shared.engine, state());
        match call::instance(&mut store, pre).await {
            Ok(instance) => return Ok((store, instance)),
            // What waits for calls must not keep a plugin from being loaded.
            Err(Failure::PoolExhausted) if search.again().await => {}
            Err(Failure::Deadline) => return Err(LoadError::SlowStart),
            Err(failure) => return Err(LoadError::Configure(failure)),
        }
    }
}

/// The long way: compile, read the imports, configure, compile what that left.
async fn make(shared: &Shared, spec: &PluginSpec, configuring: impl Fn() -> CallState) -> Result<Artefact, LoadError> {
    let original = compile(shared, &spec.wasm)?;
    let imports = capability::used_by(&original)?;
    check_allowed(&imports, spec)?;
    let component = if original.get_export_index(None, "configure").is_some() {
        let linker = linker(shared, &original, &wasi::imports(&original))?;
        let store = || call::store(&shared.engine, configuring());
        let configured = snapshot::configure(&linker, &shared.keeper, store, &spec.wasm, &spec.config).await?;
        compile(shared, &configured)?
    } else if spec.config.is_empty() {
        original
    } else {
        return Err(LoadError::NotConfigurable);
    };
    Ok(Artefact { component, imports })
}

/// What a component is linked with: the contract, and stubs for what it imports of WASI.
fn linker<'s>(
    shared: &'s Shared,
    component: &Component,
    stubbed: &[String],
) -> Result<Cow<'s, Linker<CallState>>, LoadError> {
    if stubbed.is_empty() {
        return Ok(Cow::Borrowed(&shared.linker));
    }
    let mut linker = shared.linker.clone();
    let failed =
        |error: wasmtime::Error| LoadError::Signature { item: "imports".to_owned(), reason: format!("{error:#}") };
    wasi::stub(&mut linker, component).map_err(failed)?;
    Ok(Cow::Owned(linker))
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

/// Refuses a component that can do more than it was granted, or could ask for what is not there.
fn check_allowed(imports: &BTreeSet<Capability>, spec: &PluginSpec) -> Result<(), LoadError> {
    if imports.is_subset(&spec.grants) {
        return check_offered(imports, &spec.services);
    }
    let list = |capabilities: &BTreeSet<Capability>| capabilities.iter().copied().collect();
    Err(LoadError::NotGranted { needs: list(imports), granted: list(&spec.grants) })
}

fn check_offered(imports: &BTreeSet<Capability>, services: &Services) -> Result<(), LoadError> {
    let missing = |capability: &&Capability| match capability {
        Capability::Counters => services.counters.is_none(),
        Capability::KeyValue => services.key_value.is_none(),
        Capability::Keys => services.keys.is_none(),
        Capability::Metrics => services.numbers.is_none(),
        Capability::Outbound => services.outbound.is_none(),
        Capability::Inference => services.inference.is_none(),
        Capability::Journal => services.journal.is_none(),
        _ => false,
    };
    match imports.iter().find(missing) {
        Some(capability) => Err(LoadError::NotOffered(*capability)),
        None => Ok(()),
    }
}

/// What runs can do what was granted, and no more: its imports are those of the component that was looked at.
fn check_same(imports: &BTreeSet<Capability>, now: &BTreeSet<Capability>) -> Result<(), LoadError> {
    if imports == now {
        return Ok(());
    }
    let list = |capabilities: &BTreeSet<Capability>| capability::list(&Vec::from_iter(capabilities.iter().copied()));
    Err(LoadError::Snapshot(format!("it uses [{}], and before it was configured [{}]", list(now), list(imports))))
}

fn hooks(component: &Component) -> Result<Hooks, LoadError> {
    let hooks = Hooks::find(|phase| component.get_export_index(None, phase.hook()));
    if hooks.phases().is_empty() { Err(LoadError::NoHooks) } else { Ok(hooks) }
}

/// Checks the hooks' types now, so that a call never finds out.
fn check_hooks(store: &mut Store<CallState>, instance: &Instance, hooks: &Hooks) -> Result<(), LoadError> {
    for phase in hooks.phases().iter() {
        let Some(index) = hooks.get(phase) else { continue };
        Hook::find(store, instance, phase, index).map_err(|error| {
            let reason = format!("{error:#}");
            LoadError::Signature { item: phase.hook().to_owned(), reason }
        })?;
    }
    Ok(())
}

/// SHA-256 over the component's SHA-256 and the configuration.
fn digest(component_sha256: &[u8; 32], config: &str) -> String {
    hex(&Sha256::new().chain_update(component_sha256).chain_update(config).finalize())
}

#[allow(clippy::needless_pass_by_value)]
fn internal(error: std::io::Error) -> LoadError {
    LoadError::Internal(error.to_string())
}
