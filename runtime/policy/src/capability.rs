//! Capabilities: the interfaces of the contract by name, and what a component imports of them.
//!
//! What a component imports is its manifest. Nobody declares it, so it cannot be declared wrongly.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::error::LoadError;
use crate::wasi::is_wasi;

const PACKAGE: &str = "forebay:policy/";

/// An interface of the contract that gives a plugin power over something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Read and edit heads.
    Http,
    /// Read verified claims.
    Identity,
    /// Read and replace bodies.
    Body,
    /// Have fields sealed and opened.
    Sealing,
    /// Write log lines.
    Log,
    /// Read the time.
    Clock,
    /// Get random bytes.
    Random,
    /// Count, and take from token buckets.
    Counters,
    /// Keep small values.
    KeyValue,
    /// Sign, verify, seal and open with keys by name.
    Keys,
    /// Give numbers to the node's metrics.
    Metrics,
    /// Send HTTP requests to allowed origins.
    Outbound,
    /// Ask models.
    Inference,
    /// Leave notes for later hooks of the same request.
    Notes,
    /// Have records written to a file.
    Journal,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 15] = [
        Self::Http,
        Self::Identity,
        Self::Body,
        Self::Sealing,
        Self::Log,
        Self::Clock,
        Self::Random,
        Self::Counters,
        Self::KeyValue,
        Self::Keys,
        Self::Metrics,
        Self::Outbound,
        Self::Inference,
        Self::Notes,
        Self::Journal,
    ];

    /// The name of the interface in `wit/`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Identity => "identity",
            Self::Body => "body",
            Self::Sealing => "sealing",
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Counters => "counters",
            Self::KeyValue => "key-value",
            Self::Keys => "keys",
            Self::Metrics => "metrics",
            Self::Outbound => "outbound",
            Self::Inference => "inference",
            Self::Notes => "notes",
            Self::Journal => "journal",
        }
    }

    /// Whether what it gives depends on the request alone and has no effect but edits: a component that uses nothing
    /// else decides alike whenever it reads alike.
    #[must_use]
    pub fn is_pure(self) -> bool {
        matches!(self, Self::Http | Self::Identity)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a capability: expected one of {all}", name = .0, all = list(&Capability::ALL))]
pub struct UnknownCapability(pub String);

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|c| c.as_str() == text).ok_or_else(|| UnknownCapability(text.to_owned()))
    }
}

/// Names, separated by commas, for error messages.
pub(crate) fn list(capabilities: &[Capability]) -> String {
    capabilities.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(", ")
}

/// The capabilities that `component` uses: the interfaces of which it imports at least one function.
///
/// # Errors
/// [`LoadError::UnknownImports`] with the name of every import outside the contract.
pub(crate) fn used_by(component: &Component) -> Result<BTreeSet<Capability>, LoadError> {
    let engine = component.engine();
    let mut used = BTreeSet::new();
    let mut unknown = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        match (interface(name), import.ty) {
            // The types of a world: names for those of the interfaces, and no power.
            (_, ComponentItem::Type(_) | ComponentItem::Resource(_)) => {}
            (Some(Interface::Types), ComponentItem::ComponentInstance(_)) => {}
            (Some(Interface::Capability(capability)), ComponentItem::ComponentInstance(instance)) => {
                let mut items = instance.exports(engine);
                if items.any(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_))) {
                    used.insert(capability);
                }
            }
            // Stubbed: see `wasi`.
            (_, ComponentItem::ComponentInstance(_)) if is_wasi(name) => {}
            _ => unknown.push(name.to_owned()),
        }
    }
    if unknown.is_empty() { Ok(used) } else { Err(LoadError::UnknownImports(unknown)) }
}

enum Interface {
    Types,
    Capability(Capability),
}

/// Reads an import's name: `forebay:policy/http@0.1.0`, of any 0.1 version.
fn interface(import: &str) -> Option<Interface> {
    let (name, version) = import.strip_prefix(PACKAGE)?.split_once('@')?;
    let patch = version.strip_prefix("0.1.")?;
    patch.parse::<u32>().ok()?;
    match name {
        "types" => Some(Interface::Types),
        _ => name.parse().ok().map(Interface::Capability),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_round_trip() {
        for capability in Capability::ALL {
            assert_eq!(capability.to_string().parse::<Capability>().unwrap(), capability);
        }
        assert!("HTTP".parse::<Capability>().is_err());
        assert!("types".parse::<Capability>().is_err());
    }

    #[test]
    fn only_this_version_of_the_contract_is_known() {
        assert!(matches!(interface("forebay:policy/http@0.1.0"), Some(Interface::Capability(Capability::Http))));
        assert!(matches!(interface("forebay:policy/types@0.1.7"), Some(Interface::Types)));
        for other in ["forebay:policy/http@0.2.0", "forebay:policy/http", "wasi:clocks/monotonic-clock@0.2.0", "http"] {
            assert!(interface(other).is_none(), "{other}");
        }
    }
}
