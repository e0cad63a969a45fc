//! Rust: Cargo makes a core module that imports nothing but the contract; here it is wrapped into a component.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use wit_component::ComponentEncoder;

use super::shown;

/// No WASI, so that a plugin can import nothing but the interfaces it names.
const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the one `cdylib` of the crate in `folder`.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>, String> {
    has_target(folder)?;
    let mut cargo = Command::new(program("CARGO", "cargo"));
    cargo
        .current_dir(folder)
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let line = shown(&cargo);
    let output = cargo.output().map_err(|error| format!("`{line}` could not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{line}` failed ({})", output.status));
    }
    let file = module(&String::from_utf8_lossy(&output.stdout))
        .ok_or("the crate builds no WebAssembly module: its `[lib]` needs `crate-type = [\"cdylib\"]`")?;
    let module = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    wrap(&module)
}

/// Wraps a core module, whose custom sections carry its WIT world, into a validated component.
fn wrap(module: &[u8]) -> Result<Vec<u8>, String> {
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(ComponentEncoder::encode);
    encoded.map_err(|error| format!("the module makes no component (does it export its WIT world?): {error:#}"))
}

/// The part of Cargo's messages that tells what was made.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The last WebAssembly file that Cargo says it made: dependencies come before the crate itself.
fn module(messages: &str) -> Option<PathBuf> {
    let artefacts = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let made = artefacts.filter(|message| message.reason == "compiler-artifact");
    let mut files = made.flat_map(|message| message.filenames);
    files.rfind(|file| file.extension().is_some_and(|kind| kind == "wasm"))
}

/// Fails early and clearly where the toolchain lacks the target. A toolchain that builds the standard library from its
/// source (`CARGO_UNSTABLE_BUILD_STD`) needs none.
fn has_target(folder: &Path) -> Result<(), String> {
    if std::env::var_os("CARGO_UNSTABLE_BUILD_STD").is_some() {
        return Ok(());
    }
    let mut rustc = Command::new(program("RUSTC", "rustc"));
    rustc.current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]);
    let output = rustc.output().map_err(|error| {
        format!("plugins in Rust are built with Cargo, and `rustc` could not start ({error}): install Rust with rustup")
    })?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if std::fs::read_dir(libraries).is_ok_and(|mut files| files.next().is_some()) {
        return Ok(());
    }
    Err(format!("the Rust toolchain cannot build for WebAssembly yet: run `rustup target add {TARGET}`"))
}

fn program(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_last_file_that_cargo_made() {
        let messages = r#"{"reason":"compiler-artifact","filenames":["/t/libserde.rlib"]}
            not JSON
            {"reason":"compiler-artifact","filenames":["/t/dep.wasm"]}
            {"reason":"compiler-artifact","filenames":["/t/quota.wasm","/t/quota.d"]}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(module(messages), Some(PathBuf::from("/t/quota.wasm")));
        assert_eq!(module(""), None);
    }
}
