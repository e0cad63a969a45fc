//! Policy plugins and test guests: built from this tree to WebAssembly, and wrapped as components.
//!
//! Every package under `plugins/`, `tests/guests` and `tests/guests-wasi` whose library is a `cdylib` is a guest. It becomes
//! `plugins/{library name}.wasm`, with dashes for underscores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::component;
use super::toolchain::{TARGET, Toolchain};
use crate::{Workspace, command, files};

/// What a guest is made from. A change to any of it builds all guests anew.
const SOURCES: [&str; 6] = ["plugins", "tests/guests", "tests/guests-wasi", "wit", "Cargo.lock", "Cargo.toml"];
/// Where guests live. Each folder is built on its own, so that what one has in its dependencies does not get into those of
/// another.
const HOMES: [&str; 3] = ["plugins", "tests/guests", "tests/guests-wasi"];
/// Changes when the way of building does.
const RECIPE: &str = "1: release, fat LTO, one codegen unit, no debug information";
const STAMP: &str = ".stamp.json";
const METADATA_LIMIT: Duration = Duration::from_mins(5);

/// What the last build was made from, and what it made: file name to size in bytes.
#[derive(Default, Deserialize, Serialize)]
struct Stamp {
    sources: String,
    components: BTreeMap<String, u64>,
}

/// Builds what is not current; returns how many components it wrote.
pub(super) fn ensure(workspace: &Workspace, folder: &Path) -> Result<usize> {
    let sources = SOURCES.map(PathBuf::from);
    let digest = files::digest_of_trees(workspace.root(), &sources, RECIPE)?;
    if is_current(folder, &digest) {
        return Ok(0);
    }
    let guests = find(workspace)?;
    for home in HOMES {
        let here: Vec<&Guest> = guests.iter().filter(|guest| guest.home == home).collect();
        if !here.is_empty() {
            build(workspace, &here)?;
        }
    }
    let mut stamp = Stamp { sources: digest, components: BTreeMap::new() };
    let mut written = 0;
    for guest in &guests {
        let module =
            std::fs::read(guest.module(workspace)).with_context(|| format!("no module of {}", guest.package))?;
        let wasm = component::from_module(&module).with_context(|| format!("could not wrap {}", guest.package))?;
        written += usize::from(files::write_if_different(&folder.join(guest.file_name()), &wasm)?);
        stamp.components.insert(guest.file_name(), wasm.len() as u64);
    }
    remove_strays(folder, &stamp)?;
    files::write_if_different(&folder.join(STAMP), serde_json::to_string_pretty(&stamp)?.as_bytes())?;
    Ok(written)
}

fn is_current(folder: &Path, digest: &str) -> bool {
    let text = std::fs::read_to_string(folder.join(STAMP)).unwrap_or_default();
    let Ok(stamp) = serde_json::from_str::<Stamp>(&text) else {
        return false;
    };
    let whole = |(name, size): (&String, &u64)| {
        std::fs::metadata(folder.join(name)).is_ok_and(|metadata| metadata.len() == *size)
    };
    stamp.sources == digest && stamp.components.iter().all(whole)
}

/// A component whose source is gone must not go on being loaded.
fn remove_strays(folder: &Path, stamp: &Stamp) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".wasm") && !stamp.components.contains_key(&name) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A package that builds to a component.
struct Guest {
    home: &'static str,
    package: String,
    library: String,
}

impl Guest {
    fn file_name(&self) -> String {
        format!("{}.wasm", self.library.replace('_', "-"))
    }

    fn module(&self, workspace: &Workspace) -> PathBuf {
        let file = format!("{}.wasm", self.library.replace('-', "_"));
        workspace.guests_dir().join(TARGET).join("release").join(file)
    }
}

/// The part of `cargo metadata` that tells a guest.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

fn find(workspace: &Workspace) -> Result<Vec<Guest>> {
    let mut cargo = command::cargo(workspace);
    cargo.args(["metadata", "--no-deps", "--format-version=1"]);
    let captured = command::capture_ok(&mut cargo, METADATA_LIMIT)?;
    let metadata: Metadata = serde_json::from_str(&captured.stdout).context("cargo metadata is not as expected")?;
    Ok(guests_of(&metadata, workspace.root()))
}

fn guests_of(metadata: &Metadata, root: &Path) -> Vec<Guest> {
    let mut guests = Vec::new();
    for package in &metadata.packages {
        let home = HOMES.into_iter().find(|home| package.manifest_path.starts_with(root.join(home)));
        let library = package.targets.iter().find(|target| target.kind.iter().any(|kind| kind == "cdylib"));
        if let (Some(home), Some(library)) = (home, library) {
            guests.push(Guest { home, package: package.name.clone(), library: library.name.clone() });
        }
    }
    guests
}

fn build(workspace: &Workspace, guests: &[&Guest]) -> Result<()> {
    let toolchain = Toolchain::choose(workspace)?;
    eprintln!("assets: building {} plugins with {toolchain}", guests.len());
    let mut cargo = toolchain.cargo_build(workspace)?;
    for guest in guests {
        cargo.arg("--package").arg(&guest.package);
    }
    cargo.env("CARGO_TARGET_DIR", workspace.guests_dir());
    optimise(&mut cargo);
    command::run(&mut cargo)
}

/// Guests are small and run on every request, so they get the slow, thorough build whatever the workspace's profile.
/// Their names section stays: it is what makes a trap's backtrace readable.
pub(super) fn optimise(cargo: &mut Command) {
    cargo
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn guests_are_cdylibs_in_their_homes() {
        let package = |name: &str, home: &str, kind: &str| {
            format!(
                r#"{{"name":"{name}","manifest_path":"/tree/{home}/Cargo.toml",
                "targets":[{{"name":"{}","kind":["{kind}"]}}]}}"#,
                name.replace('-', "_")
            )
        };
        let packages = [
            package("jwt-access", "plugins/jwt-access", "cdylib"),
            package("sdk", "plugins/sdk", "lib"),
            package("hostile", "tests/guests", "cdylib"),
            package("wasi-service", "tests/guests-wasi/service", "cdylib"),
            package("gateway", "gateway", "cdylib"),
        ];
        let metadata = serde_json::from_str(&format!(r#"{{"packages":[{}]}}"#, packages.join(","))).unwrap();
        let names: Vec<_> = guests_of(&metadata, Path::new("/tree")).iter().map(Guest::file_name).collect();
        assert_eq!(names, ["jwt-access.wasm", "hostile.wasm", "wasi-service.wasm"]);
    }

    #[test]
    fn a_stamp_holds_only_while_its_components_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_current(folder.path(), "d"));
        let stamp = Stamp { sources: "d".into(), components: [("a.wasm".to_owned(), 3)].into() };
        std::fs::write(folder.path().join(STAMP), serde_json::to_vec(&stamp).unwrap()).unwrap();
        assert!(!is_current(folder.path(), "d"));
        std::fs::write(folder.path().join("a.wasm"), "abc").unwrap();
        assert!(is_current(folder.path(), "d"));
        assert!(!is_current(folder.path(), "e"));
        std::fs::write(folder.path().join("b.wasm"), "stray").unwrap();
        remove_strays(folder.path(), &stamp).unwrap();
        assert!(folder.path().join("a.wasm").exists() && !folder.path().join("b.wasm").exists());
    }
}
