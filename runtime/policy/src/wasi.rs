//! WASI with nothing behind it, for guest languages whose runtimes insist on importing it.
//!
//! A component that imports `wasi:` interfaces gets an empty world: no arguments, no environment, no directories.
//! Whatever cannot be answered with "nothing" ends the call. So these imports give no power, need no grant and leave a
//! component as deterministic as it was.

use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType, Val};

use crate::state::{CallState, Stop};

/// What the names of all of WASI's interfaces begin with.
const PREFIX: &str = "wasi:";

/// Whether an import is one of WASI's.
pub(crate) fn is_wasi(import: &str) -> bool {
    import.starts_with(PREFIX)
}

/// The WASI interfaces that `component` imports.
pub(crate) fn imports(component: &Component) -> Vec<String> {
    let imports = component.component_type();
    imports.imports(component.engine()).map(|(name, _)| name).filter(|name| is_wasi(name)).map(str::to_owned).collect()
}

/// Defines every WASI import of `component` in `linker`.
///
/// # Errors
/// An interface has something that cannot be stubbed, such as a module.
pub(crate) fn stub(linker: &mut Linker<CallState>, component: &Component) -> wasmtime::Result<()> {
    for (name, import) in component.component_type().imports(component.engine()) {
        if let (true, ComponentItem::ComponentInstance(interface)) = (is_wasi(name), import.ty) {
            stub_interface(&mut linker.instance(name)?, name, &interface, component.engine())?;
        }
    }
    Ok(())
}

fn stub_interface(
    linker: &mut LinkerInstance<'_, CallState>,
    interface: &str,
    items: &ComponentInstance,
    engine: &wasmtime::Engine,
) -> wasmtime::Result<()> {
    // Randomness of no bytes would be taken for randomness.
    let may_be_empty = !interface.starts_with("wasi:random/");
    for (name, item) in items.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let full = format!("{interface}#{name}");
                linker.func_new(
                    name,
                    move |mut store: StoreContextMut<'_, CallState>, ty, params: &[Val], results: &mut [Val]| {
                        store.data_mut().charge_anywhere(params.iter().map(weight).sum())?;
                        if may_be_empty && answer_empty(&ty, results) {
                            Ok(())
                        } else {
                            Err(Stop::Wasi(full.clone()).into())
                        }
                    },
                )?;
            }
            ComponentItem::Resource(_) => linker.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?,
            ComponentItem::Type(_) => {}
            _ => wasmtime::bail!("`{interface}` has a `{name}` that is neither a function nor a type"),
        }
    }
    Ok(())
}

/// What a parameter holds, in bytes, roughly. What lies deeper took its share of the fuel of host calls.
fn weight(param: &Val) -> usize {
    match param {
        Val::String(text) => text.len(),
        Val::List(list) => list.len(),
        _ => 0,
    }
}

/// Fills in an empty list or a none. False where the result is of another kind.
fn answer_empty(ty: &ComponentFunc, results: &mut [Val]) -> bool {
    ty.results().zip(results).all(|(ty, result)| {
        *result = match ty {
            Type::List(_) => Val::List(Vec::new()),
            Type::Option(_) => Val::Option(None),
            _ => return false,
        };
        true
    }) && ty.results().len() > 0
}
