//! Compiled plugins on disk, so that a node starts without its compiler.
//!
//! An artefact is machine code, and whoever can have the node run one of their own owns the node. So a file counts only
//! if this node made it: a MAC under the node's key covers everything in it, and with it what it was made from. Any
//! other file is no error but a miss, and is written anew. The cache knows no plugin: `load` says what is made from what.

mod form;
mod key;
mod shelf;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::hmac;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::capability::Capability;
use crate::files::StateError;
use crate::node_key::NodeKey;
use form::Authentic;
pub(crate) use key::ArtefactKey;
use shelf::Shelf;

/// What the node's key is used for here.
const PURPOSE: &str = "forebay/policy/artefact/v1";

/// Artefacts of this node, by what they were made from.
pub struct ArtefactCache {
    shelf: Shelf,
    key: hmac::Key,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    rejected: AtomicU64,
    stored: AtomicU64,
}

/// What a cache did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArtefactStats {
    /// Plugins that were loaded without the compiler.
    pub hits: u64,
    /// Plugins that were compiled.
    pub misses: u64,
    /// Misses because of a file that this node did not make, or did not make like this.
    pub rejected: u64,
    /// Artefacts that were written.
    pub stored: u64,
}

/// A component that was compiled before, and what was found out then.
pub(crate) struct Artefact {
    pub(crate) component: Component,
    pub(crate) imports: BTreeSet<Capability>,
}

impl ArtefactCache {
    /// Opens the artefacts in `folder`, which is made for its owner alone where it is not there. Together they take at
    /// most `limit_bytes`; those that were not used for longest go first.
    ///
    /// # Errors
    /// The folder cannot be made, or others can write to it.
    pub fn open(folder: &Path, node: &NodeKey, limit_bytes: u64) -> Result<Self, StateError> {
        let shelf = Shelf::open(folder, limit_bytes)?;
        Ok(Self { shelf, key: node.derive(PURPOSE), counts: Counts::default() })
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> ArtefactStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ArtefactStats {
            hits: read(&self.counts.hits),
            misses: read(&self.counts.misses),
            rejected: read(&self.counts.rejected),
            stored: read(&self.counts.stored),
        }
    }

    /// The artefact under `key`, if this node made one for this engine.
    pub(crate) fn find(&self, engine: &Engine, key: &ArtefactKey) -> Option<Artefact> {
        let found = self.shelf.read(key).and_then(|file| match self.check(engine, key, &file) {
            Ok(artefact) => Some(artefact),
            Err(reason) => {
                self.counts.rejected.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(artefact = key.name(), reason, "a compiled plugin is not used and made anew");
                None
            }
        });
        let count = if found.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn check(&self, engine: &Engine, key: &ArtefactKey, file: &[u8]) -> Result<Artefact, String> {
        let authentic = form::verify(&self.key, file).ok_or("it was not made by this node, or is damaged")?;
        let parts = form::parse(&authentic).ok_or("it has another form")?;
        if parts.key != key.bytes() {
            return Err("it was made from something else".to_owned());
        }
        let imports = parts.imports.map(str::parse).collect::<Result<_, _>>();
        let imports = imports.map_err(|error: crate::UnknownCapability| error.to_string())?;
        let component = revive(engine, &parts.code).map_err(|error| format!("{error:#}"))?;
        Ok(Artefact { component, imports })
    }

    /// Keeps an artefact. A cache that cannot be written to costs time at the next start, and nothing else.
    pub(crate) fn keep(&self, key: &ArtefactKey, component: &Component, imports: &BTreeSet<Capability>) {
        let kept = component.serialize().map_err(|error| format!("{error:#}")).and_then(|code| {
            let sealed = form::write(&self.key, key.bytes(), imports.iter().map(|one| one.as_str()), &code);
            self.shelf.write(key, &sealed).map_err(|error| error.to_string())
        });
        match kept {
            Ok(()) => drop(self.counts.stored.fetch_add(1, Ordering::Relaxed)),
            Err(reason) => tracing::warn!(artefact = key.name(), reason, "a compiled plugin could not be kept"),
        }
    }
}

/// Makes machine code of bytes that this node once wrote.
#[allow(unsafe_code)]
fn revive(engine: &Engine, code: &Authentic<'_>) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` is sound for the unmodified output of `Component::serialize` of any version of wasmtime, and
    // for such it checks version, settings and processor itself. `code` is such output:
    // - An `Authentic` is made by `form::verify` alone, from bytes whose HMAC-SHA-256 under the node's key is right, or by
    //   `form::parse` as a part of one at the place where `form::write` put it; the lengths of all parts are under the MAC.
    // - That key for this purpose authenticates nothing but what `form::write` is given, and `keep`, its one caller
    //   outside tests, gives it what `Component::serialize` returned.
    // - `code` borrows memory of this process, not the file: nobody can change it between the check and the copy that
    //   `deserialize` makes of it.
    // Who can read the node's key can forge it, and can then already read this process's memory: the file is refused
    // unless its owner alone can read it.
    unsafe { Component::deserialize(engine, code.bytes()) }
}
