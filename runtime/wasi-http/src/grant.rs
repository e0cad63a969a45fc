//! Grants: what a component may be given of the world, and what it imports of it.
//!
//! What a component imports is its manifest. Nobody declares it, so it cannot be declared wrongly. Interfaces that
//! give no power need no grant: types, streams, an environment that holds what its configuration says, a file system
//! without a single folder. Sockets are accepted as imports, since toolchains link them unasked, and end whoever calls
//! them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentInstance, ComponentItem};

use crate::error::LoadError;

/// Something of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// Make requests of the origins that its configuration lists.
    WasiHttp,
    /// Know the time, and wait.
    Clocks,
    /// Get random bytes.
    Random,
    /// Write to standard output and error: log lines.
    Stdio,
}

impl Grant {
    /// Every grant.
    pub const ALL: [Self; 4] = [Self::WasiHttp, Self::Clocks, Self::Random, Self::Stdio];

    /// Its name in a configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WasiHttp => "wasi-http",
            Self::Clocks => "clocks",
            Self::Random => "random",
            Self::Stdio => "stdio",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a grant: expected wasi-http, clocks, random or stdio")]
pub struct UnknownGrant(pub String);

impl FromStr for Grant {
    type Err = UnknownGrant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text).ok_or_else(|| UnknownGrant(text.to_owned()))
    }
}

/// Names, separated by commas, for error messages.
pub(crate) fn list(grants: &[Grant]) -> String {
    grants.iter().map(|grant| grant.as_str()).collect::<Vec<_>>().join(", ")
}

/// What a component imports.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// What it needs to be granted.
    pub(crate) grants: BTreeSet<Grant>,
    /// It calls what comes next: a middleware.
    pub(crate) next: bool,
    /// It links sockets.
    pub(crate) sockets: bool,
}

impl Manifest {
    /// Reads the imports of `component`.
    ///
    /// # Errors
    /// [`LoadError::UnknownImports`] with the name of every import that is not offered.
    pub(crate) fn of(component: &Component) -> Result<Self, LoadError> {
        let engine = component.engine();
        let mut manifest = Self::default();
        let mut unknown = Vec::new();
        for (name, import) in component.component_type().imports(engine) {
            match import.ty {
                // Names for types that other imports define, and no power.
                ComponentItem::Type(_) | ComponentItem::Resource(_) => {}
                ComponentItem::ComponentInstance(instance) => match Interface::named(name) {
                    Some(interface) if has_functions(&instance, engine) => manifest.note(interface),
                    Some(_) => {}
                    None => unknown.push(name.to_owned()),
                },
                _ => unknown.push(name.to_owned()),
            }
        }
        if unknown.is_empty() { Ok(manifest) } else { Err(LoadError::UnknownImports(unknown)) }
    }

    /// What it imports, by name: the grants, and `handler` for what comes next.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let grants = self.grants.iter().map(|grant| grant.as_str());
        grants.chain(self.next.then_some("handler")).map(str::to_owned).collect()
    }

    fn note(&mut self, interface: Interface) {
        match interface {
            Interface::Free => {}
            Interface::Needs(grant) => drop(self.grants.insert(grant)),
            Interface::Next => self.next = true,
            Interface::Sockets => self.sockets = true,
        }
    }
}

fn has_functions(instance: &ComponentInstance, engine: &wasmtime::Engine) -> bool {
    instance.exports(engine).any(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interface {
    Free,
    Needs(Grant),
    Next,
    Sockets,
}

impl Interface {
    /// Reads an import's name: `wasi:http/types@0.3.0`, of any released 0.2 or 0.3 version.
    fn named(import: &str) -> Option<Self> {
        let (name, version) = import.strip_prefix("wasi:")?.split_once('@')?;
        let patch = version.strip_prefix("0.2.").or_else(|| version.strip_prefix("0.3."))?;
        patch.parse::<u32>().ok()?;
        let (package, interface) = name.split_once('/')?;
        match (package, interface) {
            ("http", "outgoing-handler" | "client") => Some(Self::Needs(Grant::WasiHttp)),
            ("http", "handler") => Some(Self::Next),
            ("http" | "clocks" | "cli", "types") | ("io", _) => Some(Self::Free),
            ("clocks", "wall-clock" | "monotonic-clock" | "system-clock") => Some(Self::Needs(Grant::Clocks)),
            ("random", "random" | "insecure" | "insecure-seed") => Some(Self::Needs(Grant::Random)),
            ("cli", "stdout" | "stderr") => Some(Self::Needs(Grant::Stdio)),
            ("cli", "stdin" | "environment" | "exit") | ("filesystem", "types" | "preopens") => Some(Self::Free),
            ("cli", terminal) if terminal.starts_with("terminal-") => Some(Self::Free),
            ("sockets", _) => Some(Self::Sockets),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_round_trip() {
        for grant in Grant::ALL {
            assert_eq!(grant.to_string().parse::<Grant>().unwrap(), grant);
        }
        assert!("http".parse::<Grant>().is_err());
    }

    #[test]
    fn interfaces_need_what_they_give() {
        for (import, interface) in [
            ("wasi:http/types@0.2.12", Interface::Free),
            ("wasi:http/outgoing-handler@0.2.3", Interface::Needs(Grant::WasiHttp)),
            ("wasi:http/client@0.3.0", Interface::Needs(Grant::WasiHttp)),
            ("wasi:http/handler@0.3.0", Interface::Next),
            ("wasi:clocks/monotonic-clock@0.3.0", Interface::Needs(Grant::Clocks)),
            ("wasi:random/insecure-seed@0.2.0", Interface::Needs(Grant::Random)),
            ("wasi:cli/stderr@0.2.6", Interface::Needs(Grant::Stdio)),
            ("wasi:cli/terminal-stdin@0.2.6", Interface::Free),
            ("wasi:filesystem/preopens@0.2.6", Interface::Free),
            ("wasi:sockets/tcp@0.2.6", Interface::Sockets),
        ] {
            assert_eq!(Interface::named(import), Some(interface), "{import}");
        }
        for other in [
            "wasi:http/types",
            "wasi:http/types@0.3.0-rc-2025-09-16",
            "wasi:http/types@0.4.0",
            "wasi:keyvalue/store@0.2.0",
            "forebay:policy/http@0.1.0",
            "wasi:cli/run@0.2.0",
        ] {
            assert_eq!(Interface::named(other), None, "{other}");
        }
    }
}
