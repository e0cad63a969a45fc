//! From a core WebAssembly module to a component.

use anyhow::{Context, Result};
use wit_component::ComponentEncoder;

/// Wraps a core module, whose custom sections carry its WIT world, into a validated component.
pub(super) fn from_module(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(ComponentEncoder::encode)
        .context("the module does not make a component (does it export its WIT world?)")
}
