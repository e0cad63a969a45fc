//! What a component imports, found out without running it: what a publisher signs.

use std::collections::BTreeSet;

use wasmtime::component::Component;
use wasmtime::{Config, Engine, OptLevel};

use crate::capability::{self, Capability};
use crate::error::LoadError;
use crate::limits::MAX_COMPONENT_BYTES;

/// The capabilities that a component uses: the interfaces of which it imports at least one function.
///
/// # Errors
/// It is no component, or imports what no gateway offers.
pub fn manifest(wasm: &[u8]) -> Result<BTreeSet<Capability>, LoadError> {
    if wasm.len() > MAX_COMPONENT_BYTES {
        return Err(LoadError::TooLarge { bytes: wasm.len(), limit: MAX_COMPONENT_BYTES });
    }
    let failed = |error: wasmtime::Error| LoadError::Compile(format!("{error:#}"));
    // The code is not used.
    let engine = Engine::new(Config::new().cranelift_opt_level(OptLevel::None)).map_err(failed)?;
    capability::used_by(&Component::from_binary(&engine, wasm).map_err(failed)?)
}
