//! What an artefact is made from, as one name: anything that could change a byte of it is in here.

use std::hash::{Hash, Hasher};

use ring::digest::{Context, SHA256};
use wasmtime::Engine;

use crate::capability::Capability;
use crate::limits::{CallLimits, EngineLimits};

/// Changes when this crate makes other artefacts of the same things.
const FORMAT: u32 = 1;
const KEY_BYTES: usize = 32;

/// SHA-256 over what an artefact is made from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ArtefactKey([u8; KEY_BYTES]);

impl ArtefactKey {
    /// The key for a component, by its SHA-256, configured with `config` under `limits`, on an engine.
    pub(crate) fn of(
        engine: &Engine,
        pool: &EngineLimits,
        component_sha256: &[u8],
        config: &str,
        limits: &CallLimits,
    ) -> Self {
        let mut form = Form(Context::new(&SHA256));
        form.field(&FORMAT.to_le_bytes());
        form.field(env!("CARGO_PKG_VERSION").as_bytes());
        form.field(engine_settings(engine).as_ref());
        form.field(&(pool.memory_bytes as u64).to_le_bytes());
        form.field(component_sha256);
        form.field(config.as_bytes());
        // They decide whether `configure` ends, and with what.
        form.field(&(limits.memory_bytes as u64).to_le_bytes());
        form.field(&limits.configure_deadline.as_nanos().to_le_bytes());
        // What the contract has: a component compiled by a node that knew fewer interfaces was read by other eyes.
        for capability in Capability::ALL {
            form.field(capability.as_str().as_bytes());
        }
        let mut bytes = [0; KEY_BYTES];
        bytes.iter_mut().zip(form.0.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key in hexadecimal.
    pub(crate) fn name(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[cfg(test)]
    pub(crate) fn for_tests(byte: u8) -> Self {
        Self([byte; KEY_BYTES])
    }
}

/// Wasmtime's word on which engines can run each other's code: compiler, its settings, processor.
fn engine_settings(engine: &Engine) -> ring::digest::Digest {
    let mut form = Form(Context::new(&SHA256));
    engine.precompile_compatibility_hash().hash(&mut form);
    form.0.finish()
}

/// SHA-256 over fields, each behind its length.
struct Form(Context);

impl Form {
    fn field(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

/// Takes what is hashed as it is: 64 bits would be too few to name machine code by.
impl Hasher for Form {
    fn write(&mut self, bytes: &[u8]) {
        self.field(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whatever_shapes_an_artefact_is_in_its_key() {
        let engine = Engine::default();
        let other_engine =
            Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap_or_else(|error| panic!("{error}"));
        let (pool, limits) = (EngineLimits::default(), CallLimits::default());
        let key = ArtefactKey::of(&engine, &pool, &[1; 32], "{}", &limits);
        assert!(key == ArtefactKey::of(&Engine::default(), &pool, &[1; 32], "{}", &limits));

        let small = CallLimits { memory_bytes: 1 << 20, ..CallLimits::default() };
        let short = CallLimits { configure_deadline: Duration::from_millis(1), ..CallLimits::default() };
        for other in [
            ArtefactKey::of(&other_engine, &pool, &[1; 32], "{}", &limits),
            ArtefactKey::of(&engine, &pool, &[2; 32], "{}", &limits),
            ArtefactKey::of(&engine, &pool, &[1; 32], "{} ", &limits),
            ArtefactKey::of(&engine, &pool, &[1; 32], "{}", &small),
            ArtefactKey::of(&engine, &pool, &[1; 32], "{}", &short),
        ] {
            assert!(key != other);
        }
        // What a call may use does not change what is called.
        let quick = CallLimits { deadline: Duration::from_millis(1), host_calls: 1, ..CallLimits::default() };
        assert!(key == ArtefactKey::of(&engine, &pool, &[1; 32], "{}", &quick));
    }
}
