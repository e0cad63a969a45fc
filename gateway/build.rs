//! Puts into the program, as text, what `forebay plugin new` writes: the contract, the SDK, the
//! templates, and the versions of crates that this tree is tested with.
//!
//! A generated list rather than one by hand: a file that is added to the contract must not be forgotten here.
#![allow(clippy::print_stdout, reason = "how a build script talks to Cargo")]

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// The name of each list, the folder that it is made of, and what the names of its files end with.
const LISTS: [(&str, &str, &str); 3] =
    [("WIT", "../wit", ".wit"), ("SDK", "../plugins/sdk/src", ".rs"), ("TEMPLATES", "src/cli/plugin/templates", "")];

fn main() -> io::Result<()> {
    let crate_folder = folder("CARGO_MANIFEST_DIR")?;
    let mut code = String::new();
    for (name, source, ending) in LISTS {
        let root = crate_folder.join(source).canonicalize()?;
        println!("cargo::rerun-if-changed={}", root.display());
        let mut files = Vec::new();
        collect(&root, &mut files)?;
        files.sort();
        let entries: String = files
            .iter()
            .filter_map(|file| Some((file.strip_prefix(&root).ok()?.to_str()?, file)))
            .filter(|(path, _)| path.ends_with(ending))
            .fold(String::new(), |mut entries, (path, file)| {
                let _ = writeln!(entries, "    ({path:?}, include_str!({file:?})),");
                entries
            });
        let _ = write!(code, "pub(super) static {name}: &[(&str, &str)] = &[\n{entries}];\n");
    }
    let lock = crate_folder.join("../Cargo.lock").canonicalize()?;
    println!("cargo::rerun-if-changed={}", lock.display());
    let _ = writeln!(code, "pub(super) static LOCK: &str = include_str!({lock:?});");
    std::fs::write(folder("OUT_DIR")?.join("embedded.rs"), code)
}

fn folder(variable: &str) -> io::Result<PathBuf> {
    let value = std::env::var_os(variable);
    value.map(PathBuf::from).ok_or_else(|| io::Error::other(format!("Cargo did not set {variable}")))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
